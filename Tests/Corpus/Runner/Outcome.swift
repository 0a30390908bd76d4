import JSONText
import SystemPackage
import TestSupport

/// What came of a case, as it is kept from run to run.
struct Outcome: Equatable {
    /// How much of it the tool says, and what the trial has seen.
    struct Live: Equatable {
        var requests = 0
        var failed = 0
        /// The longest of all processes, in microseconds.
        var stall = 0
        var processes = 0
        /// How often each replacement was entered.
        var entries: [String: Int] = [:]
        /// What the reproducer has seen: before, while it was applied, and afterwards.
        var behaviour: [String] = []
    }

    var version = ""
    var replaced: [String] = []
    var added: [String] = []
    /// Which function came along inside of which.
    var inlined: [String] = []
    /// Functions in which only line numbers differ.
    var movedLines = 0
    /// From the diff to the patch without what the compiler took, in milliseconds.
    var milliseconds = 0
    var patchBytes = 0
    var functionBytes = 0
    var refusal: String?
    var live: Live?
    /// What was not as expected; none where the case is as it must be.
    var faults: [String] = []
}

extension Outcome {
    /// Reads what `hotpatch build --format json` has written.
    mutating func read(_ document: JSONCursor, patch: FilePath) throws {
        let functions = try document.member("patch").member("functions").elements()
        replaced = try functions.map { try $0.member("symbol").string() }
        functionBytes = try functions.reduce(0) {
            $0 + Int(try $1.member("size").integer())
        }
        added = try document.member("added").elements().map { try $0.member("name").string() }
        inlined = try document.member("inlined").elements().map { copy in
            let into = try copy.member("into").elements().map { "`\(try $0.string())`" }
            return "`\(try copy.member("function").string())` inlined into "
                + into.joined(separator: ", ")
        }
        movedLines = Int(try document.member("movedLines").integer())
        milliseconds = Int(try document.member("comparedMilliseconds").integer())
        patchBytes = try patch.bytes().count
    }

    // MARK: - Kept

    var json: JSONValue {
        .object([
            JSONMember("version", .string(version)),
            JSONMember("replaced", .array(replaced.map { .string($0) })),
            JSONMember("added", .array(added.map { .string($0) })),
            JSONMember("inlined", .array(inlined.map { .string($0) })),
            JSONMember("movedLines", .integer(Int64(movedLines))),
            JSONMember("milliseconds", .integer(Int64(milliseconds))),
            JSONMember("patchBytes", .integer(Int64(patchBytes))),
            JSONMember("functionBytes", .integer(Int64(functionBytes))),
            JSONMember("refusal", refusal.map { .string($0) } ?? .null),
            JSONMember("live", live?.json ?? .null),
            JSONMember("faults", .array(faults.map { .string($0) })),
        ])
    }

    init(_ document: JSONCursor) throws {
        func texts(_ key: String) throws -> [String] {
            try document.member(key).elements().map { try $0.string() }
        }
        version = try document.member("version").string()
        replaced = try texts("replaced")
        added = try texts("added")
        inlined = try texts("inlined")
        movedLines = Int(try document.member("movedLines").integer())
        milliseconds = Int(try document.member("milliseconds").integer())
        patchBytes = Int(try document.member("patchBytes").integer())
        functionBytes = Int(try document.member("functionBytes").integer())
        refusal = try document.optionalMember("refusal")?.string()
        live = try document.optionalMember("live").map { try Live($0) }
        faults = try texts("faults")
    }
}

extension Outcome.Live {
    fileprivate var json: JSONValue {
        [
            "requests": .integer(Int64(requests)), "failed": .integer(Int64(failed)),
            "stall": .integer(Int64(stall)), "processes": .integer(Int64(processes)),
            "entries": .object(
                entries.sorted { $0.key < $1.key }.map {
                    JSONMember($0.key, .integer(Int64($0.value)))
                }),
            "behaviour": .array(behaviour.map { .string($0) }),
        ]
    }

    fileprivate init(_ document: JSONCursor) throws {
        requests = Int(try document.member("requests").integer())
        failed = Int(try document.member("failed").integer())
        stall = Int(try document.member("stall").integer())
        processes = Int(try document.member("processes").integer())
        let entries = try document.member("entries")
        guard case .object(let members) = entries.value else {
            throw entries.mismatch("an object")
        }
        for member in members {
            self.entries[member.key] = Int(try entries.member(member.key).integer())
        }
        behaviour = try document.member("behaviour").elements().map { try $0.string() }
    }
}
