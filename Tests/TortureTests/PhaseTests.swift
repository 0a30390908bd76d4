import Switchover
import TestSupport
import Testing
import TortureEngine

/// The tool dies at the beginning of each phase of its work.
@Suite(.serialized) struct PhaseTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let operation: Operation
        /// What is done before.
        var preparation: [Operation] = []
        let phases: [SwitchPhase]
        var testDescription: String { "\(operation) after \(preparation)" }
    }

    private static let installing: [SwitchPhase] = [.looking, .linking, .mapping, .filling]
    private static let ending: [SwitchPhase] = [.releasing, .tidying, .done]
    private static let staged: [SwitchPhase] =
        [.noting, .stopping, .comparing, .writingStubs, .deciding, .writingJumps] + ending

    private static let programs = Result { try Programs() }

    @Test(arguments: [
        Case(
            operation: .apply("solo"),
            phases: installing + [.noting, .stopping, .comparing, .writingJumps] + ending),
        Case(
            operation: .revert("solo"), preparation: [.apply("solo")],
            phases: [.noting, .stopping, .comparing, .writingJumps] + ending),
        Case(operation: .apply("many"), phases: installing + staged),
        Case(
            operation: .apply("upper"), preparation: [.apply("many")], phases: installing + staged),
        Case(
            operation: .revert("upper"), preparation: [.apply("many"), .apply("upper")],
            phases: staged),
        Case(operation: .applyPair, phases: installing + staged),
        Case(
            operation: .revertAll,
            preparation: [.applyPair, .apply("many"), .apply("upper"), .apply("short")],
            phases: staged + [.writingPadding]),
        Case(operation: .apply("short"), phases: installing + staged + [.writingIslands]),
        Case(
            operation: .revert("short"), preparation: [.apply("short")],
            phases: staged + [.writingPadding]),
    ])
    func nothingIsHalfDone(_ scene: Case) throws {
        var torturer = try Torturer(Self.programs.get(), seed: 0)
        for phase in scene.phases.sorted(by: { $0.rawValue < $1.rawValue }) {
            try torturer.reach(scene.preparation)
            try torturer.perform(scene.operation, .at(phase, 0))
            #expect(torturer.tally.kills(in: phase) == 1, "'\(phase)' is no phase of it")
            try torturer.settle()
        }
    }

    /// What puts things right is killed too.
    @Test(arguments: [SwitchPhase.stopping, .comparing, .writingJumps, .releasing])
    func recoveryIsNotHalfDone(_ phase: SwitchPhase) throws {
        for interrupted in [SwitchPhase.deciding, .writingJumps] {
            var torturer = try Torturer(Self.programs.get(), seed: 0)
            try torturer.perform(.apply("many"), .at(interrupted, 0))
            try torturer.perform(.recover, .at(phase, 0))
            #expect(torturer.tally.kills == 2, "'\(phase)' is no phase of it")
            try torturer.settle()
        }
    }
}
