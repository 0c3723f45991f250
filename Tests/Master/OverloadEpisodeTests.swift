import Testing

@testable import Master

/// What the journal is told of an overload.
struct OverloadEpisodeTests {
    @Test func isToldAtItsBeginAndItsEnd() {
        var episode = OverloadEpisode()
        #expect(episode.look(refused: 0, now: 1000) == nil)
        #expect(episode.look(refused: 3, now: 2000) == .began)
        #expect(episode.look(refused: 3, now: 2001) == nil)
        #expect(episode.look(refused: 900, now: 6000) == nil)
        #expect(episode.look(refused: 900, now: 10_999) == nil)
        #expect(episode.look(refused: 900, now: 11_000) == .ended(seconds: 5, refused: 900))
        #expect(episode.look(refused: 900, now: 90_000) == nil)
        #expect(episode.look(refused: 901, now: 100_000) == .began)
        #expect(episode.look(refused: 901, now: 105_000) == .ended(seconds: 1, refused: 1))
    }

    @Test func isRemindedOfOnceAMinute() {
        var episode = OverloadEpisode()
        var remarks: [OverloadEpisode.Remark] = []
        for second in 1...150 {
            if let remark = episode.look(refused: UInt64(second) * 10, now: UInt64(second) * 1000) {
                remarks.append(remark)
            }
        }
        #expect(
            remarks == [
                .began, .goesOn(seconds: 61, refused: 610), .goesOn(seconds: 121, refused: 1210),
            ])
        #expect(episode.isOn)
    }
}
