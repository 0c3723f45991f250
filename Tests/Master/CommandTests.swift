import SharedState
import Testing

@testable import Master

@Suite struct WaitingCommandsTests {
    private func command(_ number: UInt64, deadline: UInt64 = 100) -> WaitingCommands.Command {
        WaitingCommands.Command(
            number: number, peer: Int32(number), slot: .none, deadline: deadline, text: "register")
    }

    @Test func answersFindTheirCommand() {
        var commands = WaitingCommands()
        for number in 1...3 { commands.add(command(UInt64(number))) }
        let taken = [2, 2, 9, 1, 3].map { commands.take($0)?.peer }
        #expect(taken == [2, nil, nil, 1, 3])
        #expect(commands.nextDeadline == nil)
    }

    @Test func timeEndsThemInOrder() {
        var commands = WaitingCommands()
        commands.add(command(1, deadline: 100))
        commands.add(command(2, deadline: 150))
        #expect(commands.nextDeadline == 100)
        let early = commands.takeExpired(99)?.number
        let first = commands.takeExpired(120)?.number
        let second = commands.takeExpired(120)?.number
        #expect(early == nil && first == 1 && second == nil && commands.nextDeadline == 150)
        let answered = commands.take(1)?.number
        #expect(answered == nil)
    }

    @Test func onlySoManyWait() {
        var commands = WaitingCommands()
        for number in 1..<WaitingCommands.limit { commands.add(command(UInt64(number))) }
        #expect(!commands.isFull)
        commands.add(command(99))
        #expect(commands.isFull)
    }
}
