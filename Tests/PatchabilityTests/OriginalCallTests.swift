import Addresses
import ELFImage
import SystemPackage
import TestSupport
import Testing

@testable import Patchability

/// Tests/Fixtures/originals.c: what can be called when it is replaced.
@Suite struct OriginalCallTests {
    private let catalog: FunctionCatalog

    init() throws {
        let path = try Fixture.compile("originals", flags: ["-O1"])
        catalog = try FunctionCatalog(try ELFImage.open(path: path))
    }

    private func verdict(of name: String) throws -> OriginalCall {
        let found = catalog.functions(named: name)
        try #require(found.count == 1, "\(name)")
        let calls = try OriginalCalls(catalog)
        return calls.verdict(of: found[0])
    }

    @Test(arguments: [
        "plain", "calls_itself", "loop_behind", "loop_in_entry", "calls_at_its_end",
        "calls_at_its_end_if", "calls_pointer_at_its_end", "calls_argument_at_its_end",
        "calls_member_at_its_end", "calls_result_at_its_end", "calls_one_of_two", "switches",
        "switches_in_steps",
        "goes_to_label", "in_two_parts", "shared_code",
    ])
    func callable(_ name: String) throws {
        #expect(try verdict(of: name) == .callable)
    }

    @Test(arguments: [
        ("loops_to_entry", "jumps-to-entry"), ("loops_to_endbr", "jumps-to-entry"),
        ("loops_to_nop", "jumps-to-entry"), ("part_jumps_back", "jumps-to-entry"),
        ("shares_code", "jumps-to-entry"), ("falls_through", "jumps-to-entry"),
        ("part_switches_back", "jumps-to-entry"), ("switches_to_entry", "table-to-entry"),
        ("label_at_entry", "labels-entry"), ("takes_own_address", "takes-entry"),
        ("computes", "unresolved-jump"), ("demangles", "unresolved-jump"),
        ("adds_what_is_no_entry", "unresolved-jump"), ("not_decodable", "undecodable-body"),
        ("jumps_into_padding", "leaves-functions"), ("asks_where_it_is", "cannot-move"),
        ("too_short", "too-short"),
    ])
    func refused(_ name: String, _ code: String) throws {
        let verdict = try verdict(of: name)
        #expect(verdict.refusal?.code == code, "\(verdict)")
        #expect(verdict.refusal?.description.isEmpty == false)
    }

    @Test func evidenceNamesThePlace() throws {
        let start = try #require(catalog.functions(named: "part_jumps_back").first?.address)
        guard
            case .refused(.jumpsToEntry(let from, let target)) =
                try verdict(of: "part_jumps_back")
        else {
            Issue.record("no such evidence")
            return
        }
        #expect(target == start)
        #expect(from.function == "part_jumps_back.cold" && from.offset == 2)
    }

    /// Nearly everything that compilers make, in an optimised program.
    @Test func nearlyAllOfALibrary() throws {
        let image = try ELFImage.open(path: "/lib/x86_64-linux-gnu/libsqlite3.so.0")
        let catalog = try FunctionCatalog(image)
        let calls = try OriginalCalls(catalog)
        let patchable = catalog.filter { $0.verdict.site != nil }
        let callable = patchable.count { calls.verdict(of: $0) == .callable }
        #expect(callable * 100 >= patchable.count * 98, "\(callable) of \(patchable.count)")
    }
}
