import Platform
import SharedMemory
import SharedState
import Testing

struct SlotsTests {
    @Test func goesFromHandToHand() throws {
        let slots = try TestArena().state.slots
        #expect(slots.inUse == 0)
        let slot = slots.take(3)
        #expect(slot.index == 3)
        #expect(slots.isHeld(slot, by: .master) && !slots.isFree(3) && slots.owner(3) == .master)
        #expect(slots.holder(3) == .master && slots.holder(4) == nil)
        #expect(slots.inUse == 1)
        slots.hand(slot, from: .master, to: .worker(1))
        #expect(slots.isHeld(slot, by: .worker(1)) && !slots.isHeld(slot, by: .master))
        slots.release(slot, by: .worker(1))
        #expect(slots.isFree(3) && slots.holder(3) == nil && slots.inUse == 0)
        let again = slots.take(3)
        #expect(again.generation == slot.generation + 1)
    }

    /// A flush after a crash hands over and gives back again: by then the slot may be with somebody else, or
    /// free, or hold another message.
    @Test func ignoresRepeatedDeeds() throws {
        let slots = try TestArena().state.slots
        let slot = slots.take(0)
        slots.hand(slot, from: .master, to: .worker(0))
        slots.hand(slot, from: .worker(0), to: .worker(1))
        slots.hand(slot, from: .master, to: .worker(0))
        #expect(slots.isHeld(slot, by: .worker(1)))
        slots.release(slot, by: .worker(0))
        #expect(slots.isHeld(slot, by: .worker(1)))
        slots.release(slot, by: .worker(1))
        slots.hand(slot, from: .worker(0), to: .worker(1))
        #expect(slots.isFree(0))
        let next = slots.take(0)
        slots.hand(slot, from: .master, to: .worker(0))
        slots.release(slot, by: .master)
        #expect(slots.isHeld(next, by: .master))
    }

    /// What a master held that is gone is free; but not what is on its way to the next one, nor what others have.
    @Test func reclaimsWhatAMasterLeft() throws {
        let slots = try TestArena().state.slots
        let lost = slots.take(0)
        let kept = slots.take(1)
        let handed = slots.take(2)
        slots.hand(handed, from: .master, to: .worker(1))
        slots.reclaim(except: [1])
        #expect(slots.isFree(0) && !slots.isHeld(lost, by: .master))
        #expect(slots.isHeld(kept, by: .master) && slots.isHeld(handed, by: .worker(1)))
        #expect(slots.take(0).generation == lost.generation + 1)
    }

    @Test func isNobodysWhenNone() throws {
        let arena = try TestArena()
        let slots = arena.state.slots
        #expect(!slots.isHeld(.none, by: .master))
        slots.release(.none, by: .master)
        slots.hand(.none, from: .master, to: .worker(0))
        #expect(!slots.isHeld(SlotReference(index: slots.count, generation: 0), by: .master))
        #expect(slots.inUse == 0)
    }

    /// A master that dies between taking a slot and receiving into it leaves nothing that looks received.
    @Test func aSlotThatIsTakenSaysNothingOfItsLastMessage() throws {
        let slots = try TestArena().state.slots
        let first = slots.take(3)
        var header = SlotHeader()
        header.isReceived = true
        slots.setHeader(header, first.index)
        slots.release(first, by: .master)
        let second = slots.take(3)
        #expect(!slots.header(second.index).isReceived)
    }

    @Test func keepsMessages() throws {
        let slots = try TestArena().state.slots
        for index in [0, slots.smallCount - 1, slots.smallCount, slots.count - 1] {
            let text = Array("message \(index)".utf8)
            var writer = slots.memory.writer(slots.bytesOffset(index), capacity: slots.capacity(index))
            writer.append(text.span)
            var header = SlotHeader()
            header.length = UInt32(text.count)
            header.endpoint.listener = 7
            header.endpoint.peer = SocketAddress(ipv4: 0x7F00_0001, port: 5060)
            slots.setHeader(header, index)
            #expect(slots.bytes(index).array == text)
            #expect(
                slots.header(index).endpoint.listener == 7 && slots.header(index).endpoint.peer.port == 5060)
            // A length that lies is cut to the slot.
            header.length = .max
            slots.setHeader(header, index)
            #expect(slots.bytes(index).count == slots.capacity(index))
        }
    }
}
