import Switchover
import TestSupport

/// What is applied in the victim, as it should be.
struct Situation: Equatable {
    var solo = false
    var short = false
    /// `front` and `side`, which go in together.
    var pair = false
    /// `many` and `upper`, in the order in which they came.
    var chain: [String] = []

    /// Which version each group of the victim's functions has: solo, chain, front,
    /// short.
    var versions: [Int] {
        let chainVersion = ["many": 2, "upper": 3][chain.last ?? ""] ?? 1
        return [solo ? 2 : 1, chainVersion, pair ? 2 : 1, short ? 2 : 1]
    }

    /// The names of the patches that are switched in.
    var names: Set<String> {
        Set(
            chain + (solo ? ["solo"] : []) + (short ? ["short"] : [])
                + (pair ? ["front", "side"] : []))
    }
}

/// What the worker is told to do.
public enum Operation: Hashable, Sendable {
    case apply(String)
    case applyPair
    case revert(String)
    case revertAll
    case recover

    /// As the worker reads it.
    var request: String {
        switch self {
        case .apply(let name): "apply \(name)"
        case .applyPair: "apply front,side"
        case .revert(let name): "revert \(name)"
        case .revertAll: "revert-all -"
        case .recover: "recover -"
        }
    }

    /// For the table of phases.
    var kind: String {
        switch self {
        case .apply, .applyPair: "apply"
        case .revert: "revert"
        case .revertAll: "revert --all"
        case .recover: "recover"
        }
    }

    func result(in situation: Situation) -> Situation {
        var result = situation
        switch self {
        case .apply("solo"): result.solo = true
        case .apply("short"): result.short = true
        case .apply(let name): result.chain.append(name)
        case .applyPair: result.pair = true
        case .revert("solo"): result.solo = false
        case .revert("short"): result.short = false
        case .revert: result.chain.removeLast()
        case .revertAll: result = Situation()
        case .recover: break
        }
        return result
    }

    /// All that make sense there. Of the pair no half is taken out alone: it is the
    /// set that was asked for, and what comes of half of it is not the tool's fault.
    static func suitable(in situation: Situation) -> [Operation] {
        var all: [Operation] = [
            situation.solo ? .revert("solo") : .apply("solo"),
            situation.short ? .revert("short") : .apply("short"),
        ]
        if !situation.pair { all.append(.applyPair) }
        for name in ["many", "upper"] where !situation.chain.contains(name) {
            all.append(.apply(name))
        }
        if let top = situation.chain.last { all.append(.revert(top)) }
        if !situation.names.isEmpty { all.append(.revertAll) }
        return all
    }

    /// Those that it brings in.
    var patches: Set<String> {
        switch self {
        case .apply(let name): [name]
        case .applyPair: ["front", "side"]
        case .revert, .revertAll, .recover: []
        }
    }

    /// A phase that the operation may come to; most do.
    ///
    /// - Parameter isFirst: whether a payload is to be mapped.
    func randomPhase(isFirst: Bool, _ random: inout Mutator) -> SwitchPhase {
        let mapping: [SwitchPhase] = [.mapping, .filling]
        if isFirst, random.next(below: 2) == 0 { return mapping[random.next(below: 2)] }
        let phases: [SwitchPhase] =
            switch self {
            case .recover: [.stopping, .comparing, .writingJumps, .releasing]
            case .apply, .applyPair:
                SwitchPhase.allCases.filter { $0 != .writingPadding && !mapping.contains($0) }
            case .revert, .revertAll:
                SwitchPhase.allCases.filter { $0.rawValue >= SwitchPhase.noting.rawValue }
            }
        return phases[random.next(below: phases.count)]
    }
}
