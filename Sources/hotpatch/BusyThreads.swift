import HotpatchKit
import JSONText

/// The threads that are in the way of a switch, for people and for programs.
extension [Activity] {
    private static var shownFrames: Int { 24 }

    /// The backtraces, indented; empty where there are none.
    var text: String {
        var text = ""
        for activity in self {
            guard let backtrace = activity.backtrace else { continue }
            text += "  \(activity.who.printableLine):\n"
            for line in backtrace.lines(limit: Self.shownFrames) {
                text += "    \(line.printableLine)\n"
            }
        }
        return text
    }

    /// A member of a result, or none where no thread is in the way.
    var json: [JSONMember] {
        isEmpty ? [] : [JSONMember("busyThreads", .array(map(\.json)))]
    }
}

extension Activity {
    fileprivate var json: JSONValue {
        [
            "thread": .integer(Int64(thread.rawValue)),
            "name": .string(threadName),
            "function": .string(stretch.symbol),
            "place": .string(placeWord),
            "address": address.map { .string("\($0)") } ?? .null,
            "certain": .bool(isCertain),
            "neverReturns": .bool(neverReturns),
            "sameCall": stay.map { stay in
                [
                    "looks": .integer(Int64(stay.looks)),
                    "durationMicroseconds": .integer(stay.duration.microseconds),
                ]
            } ?? .null,
            "backtrace": .array((backtrace?.frames ?? []).map(\.json)),
            "backtraceComplete": .bool(backtrace?.isComplete ?? false),
        ]
    }

    private var placeWord: String {
        switch place {
        case .programCounter: "program-counter"
        case .stack: "stack"
        case .unknownStack: "unknown-stack"
        }
    }

    private var address: RemoteAddress? {
        switch place {
        case .programCounter(let address), .stack(_, let address): address
        case .unknownStack: nil
        }
    }
}

extension Backtrace.Frame {
    fileprivate var json: JSONValue {
        [
            "kind": .string(word),
            "address": .string("\(address)"),
            "function": place?.function.map { .string($0.name) } ?? .null,
            "offset": place?.function.map { .integer(Int64(clamping: $0.offset)) } ?? .null,
            "object": place.map { .string($0.object) } ?? .null,
        ]
    }

    private var word: String {
        switch kind {
        case .innermost: "innermost"
        case .caller: "caller"
        case .signalReturn: "signal-return"
        case .interrupted: "interrupted"
        }
    }
}
