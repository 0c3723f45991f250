import Glibc
import Platform
import SharedMemory

/// Answers of the name servers, for all who forward; written by the resolver alone.
///
///     region:  | key : 128 | entries : 512 sets × 8 × 32 bytes | cells : 4096 × 1472 bytes |
///     entry:   | sequence | hash of kind and host | expires | stored |
///     cell n:  | kind, status, candidates, host count : 16 each | host, 256 | candidates : 32 × 36 |
///
/// No locks: an entry and its cell are the writer's while the sequence is odd. Readers copy, and look whether
/// the sequence is what it was and even. A writer that dies in between leaves it odd: nothing is there, and
/// its successor fills that place first. A new answer takes the place of the old one to the same question, else
/// one that is free or expired, else of the oldest in its set.
package struct DNSCache: BitwiseCopyable {
    package static let ways = 8
    package static let sets = 512
    package static let cellBytes = 1472
    private static let headerBytes = 64
    private static let entryBytes = 32
    private static let entriesBytes = sets * ways * entryBytes
    package static let bytes = headerBytes + entriesBytes + sets * ways * cellBytes

    private static let hostOffset = 8
    private static let candidatesOffset = hostOffset + 256
    /// How often a reader looks again that a writer has disturbed.
    private static let attempts = 4

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    /// Draws the hash key; by the master that made the arena, on zero bytes.
    package func initialize() throws(SystemError) {
        let target = unsafe memory.address(base, count: 16)
        guard unsafe getentropy(target, 16) == 0 else { throw .last("getentropy") }
    }

    private func hash(_ kind: DNSQuestion.Kind, _ host: Span<UInt8>) -> UInt64 {
        var hash = KeyedHash(key0: memory.load(base), key1: memory.load(base + 8))
        hash.combine(kind.rawValue)
        hash.combine(lowercasing: host)
        return hash.finalize()
    }

    /// The places where an answer with that hash may be.
    private func places(_ hash: UInt64) -> Range<Int> {
        let first = Int(hash % UInt64(DNSCache.sets)) * DNSCache.ways
        return first..<first + DNSCache.ways
    }

    private func entry(_ place: Int) -> Int { base + DNSCache.headerBytes + place * DNSCache.entryBytes }

    private func cell(_ place: Int) -> Int {
        base + DNSCache.headerBytes + DNSCache.entriesBytes + place * DNSCache.cellBytes
    }

    // MARK: readers

    /// Nil where the question has to be asked (again). `now` is monotonic milliseconds.
    package func find(_ kind: DNSQuestion.Kind, host: Span<UInt8>, now: UInt64) -> DNSAnswer? {
        guard host.count <= DNSQuestion.longestHost else { return nil }
        let hash = hash(kind, host)
        for place in places(hash) {
            for _ in 0..<DNSCache.attempts {
                let sequence = memory.loadAtomic(entry(place))
                if sequence & 1 != 0 { break }
                let answer = read(place, hash, kind, host, now)
                Ordering.fullFence()
                if memory.loadAtomic(entry(place)) != sequence { continue }
                if let answer { return answer }
                break
            }
        }
        return nil
    }

    /// What may be torn, and is then thrown away: nothing in it is relied on.
    private func read(
        _ place: Int, _ hash: UInt64, _ kind: DNSQuestion.Kind, _ host: Span<UInt8>, _ now: UInt64
    ) -> DNSAnswer? {
        guard memory.loadAtomic(entry(place) + 8) == hash, memory.loadAtomic(entry(place) + 16) > now
        else { return nil }
        let cell = cell(place)
        let head = memory.loadAtomic(cell)
        guard UInt16(truncatingIfNeeded: head) == UInt16(kind.rawValue),
            Int(head >> 48) == host.count, holds(host, cell + DNSCache.hostOffset),
            let status = DNSAnswer.Status(rawValue: UInt8(truncatingIfNeeded: head >> 16))
        else { return nil }
        var answer = DNSAnswer(status)
        answer.count = min(Int(head >> 32 & 0xFFFF), DNSAnswer.capacity)
        unsafe withUnsafeMutableBytes(of: &answer.candidates) { target in
            let count = answer.count * MemoryLayout<DNSCandidate>.stride
            unsafe target.baseAddress!.copyMemory(
                from: memory.address(cell + DNSCache.candidatesOffset, count: count), byteCount: count)
        }
        return answer
    }

    private func holds(_ host: Span<UInt8>, _ offset: Int) -> Bool {
        let stored = memory.bytes(offset, count: host.count)
        for index in host.indices {
            let byte = host[index]
            let lower = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
            if stored[index] != lower { return false }
        }
        return true
    }

    // MARK: the resolver

    /// Keeps an answer until `expires`; false where another one that was still good had to go, or, with
    /// `onlyWhereFree`, stays and this one is not kept. `host` is in lower case.
    @discardableResult
    package func store(
        _ answer: DNSAnswer, to kind: DNSQuestion.Kind, host: Span<UInt8>, now: UInt64, expires: UInt64,
        onlyWhereFree: Bool = false
    ) -> Bool {
        precondition(host.count <= DNSQuestion.longestHost, "no name is that long")
        let hash = hash(kind, host)
        let place = place(hash, kind, host, now)
        let isFree = isFree(place, now) || isOf(place, hash, kind, host)
        if onlyWhereFree && !isFree { return false }
        let sequence = open(place)
        FaultPoint.cacheOpened.pass(memory)
        fill(place, answer, kind, host)
        FaultPoint.cacheFilled.pass(memory)
        memory.storeAtomic(hash, at: entry(place) + 8)
        memory.storeAtomic(expires, at: entry(place) + 16)
        memory.storeAtomic(now, at: entry(place) + 24)
        close(place, sequence)
        FaultPoint.cacheKept.pass(memory)
        return isFree
    }

    private func place(_ hash: UInt64, _ kind: DNSQuestion.Kind, _ host: Span<UInt8>, _ now: UInt64) -> Int {
        let places = places(hash)
        if let known = places.first(where: { isOf($0, hash, kind, host) }) { return known }
        if let free = places.first(where: { isFree($0, now) }) { return free }
        return places.min { stored($0) < stored($1) }!
    }

    private func isOf(_ place: Int, _ hash: UInt64, _ kind: DNSQuestion.Kind, _ host: Span<UInt8>) -> Bool {
        let head = memory.loadAtomic(cell(place))
        return memory.loadAtomic(entry(place)) & 1 == 0 && memory.loadAtomic(entry(place) + 8) == hash
            && UInt16(truncatingIfNeeded: head) == UInt16(kind.rawValue) && Int(head >> 48) == host.count
            && holds(host, cell(place) + DNSCache.hostOffset)
    }

    private func isFree(_ place: Int, _ now: UInt64) -> Bool {
        memory.loadAtomic(entry(place)) & 1 != 0 || memory.loadAtomic(entry(place) + 16) <= now
    }

    private func stored(_ place: Int) -> UInt64 { memory.loadAtomic(entry(place) + 24) }

    /// Takes a place from the readers; its odd sequence.
    func open(_ place: Int) -> UInt64 {
        let sequence = memory.loadAtomic(entry(place)) | 1
        memory.storeAtomic(sequence, at: entry(place))
        Ordering.fullFence()
        return sequence
    }

    func close(_ place: Int, _ sequence: UInt64) { memory.storeAtomic(sequence &+ 1, at: entry(place)) }

    private func fill(_ place: Int, _ answer: DNSAnswer, _ kind: DNSQuestion.Kind, _ host: Span<UInt8>) {
        let cell = cell(place)
        let head =
            UInt64(kind.rawValue) | UInt64(answer.status.rawValue) << 16 | UInt64(answer.count) << 32
            | UInt64(host.count) << 48
        memory.storeAtomic(head, at: cell)
        var writer = memory.writer(cell + DNSCache.hostOffset, capacity: 256)
        writer.append(host)
        for index in 0..<answer.count {
            let offset = cell + DNSCache.candidatesOffset + index * MemoryLayout<DNSCandidate>.stride
            memory.store(answer.candidates[index], at: offset)
        }
    }

    /// Where the answer to a question lies; for tests, which stop a writer there.
    func place(of kind: DNSQuestion.Kind, host: Span<UInt8>) -> Int? {
        let hash = hash(kind, host)
        return places(hash).first { isOf($0, hash, kind, host) }
    }
}
