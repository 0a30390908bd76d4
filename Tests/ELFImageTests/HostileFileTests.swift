import Addresses
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import ELFImage

/// Files that are not what they should be.
@Suite struct HostileFileTests {
    private func good() throws -> [UInt8] {
        try contents(of: try Fixture.compile("entries", flags: ["-O1"]))
    }

    private func contents(of path: FilePath) throws -> [UInt8] {
        let image = try ELFImage.open(path: path)
        return try image.source.read(
            "everything", at: FileOffset(rawValue: 0), count: image.fileSize
        ).array()
    }

    /// The byte at `offset` of the ELF header changed to `value`.
    @Test(
        arguments: [
            (4, 1, "class"), (5, 2, "byte order"), (18, 40, "machine"), (16, 4, "type"),
        ] as [(Int, UInt8, String)])
    func foreign(_ offset: Int, _ value: UInt8, _ field: String) throws {
        var bytes = try good()
        bytes[offset] = value
        #expect {
            try ELFImage.parse(bytes: bytes, name: "x")
        } throws: { error in
            switch error as? ELFError {
            case .foreign(_, let found, let number, _):
                // libelf reads the other fields in the byte order that is claimed.
                return found == field && (field == "byte order" || number == UInt64(value))
            case .headers: return field == "class" || field == "byte order"
            default: return false
            }
        }
    }

    @Test func everyLengthIsSurvived() throws {
        let bytes = try good()
        for length in stride(from: 0, to: bytes.count, by: 97) {
            #expect(!ELFExercise.run(Array(bytes.prefix(length))).isEmpty, "\(length)")
        }
    }

    @Test func mutationsAreSurvived() throws {
        let bytes = try good()
        let places = try ELFExercise.interestingPlaces(of: bytes)
        for seed in 1...2000 as ClosedRange<UInt64> {
            var mutator = Mutator(seed: seed)
            ELFExercise.run(mutator.mutated(bytes, places: places))
        }
    }

    /// A mapping would answer with SIGBUS.
    @Test func aFileThatShrinksIsAnError() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("", to: "shrinking")
        let descriptor = try FileDescriptor.open(path, .readWrite)
        try descriptor.closeAfter {
            try descriptor.writeAll(try good())
            let image = try ELFImage.open(path: path)
            let section = try #require(image.section(named: ".symtab"))
            _ = ftruncate(descriptor.rawValue, 4096)
            #expect {
                try image.bytes(of: section)
            } throws: { error in
                if case .truncated(_, "section .symtab", _, _, 4096) = error as? ELFError {
                    return true
                }
                return false
            }
        }
    }

    /// Opening leaves no descriptor behind, whether it succeeds or not.
    @Test func descriptorsAreClosed() throws {
        let path = try Fixture.compile("entries", flags: ["-O1"])
        let directory = try TemporaryDirectory()
        let wrong = try directory.write("#!/bin/sh\n", to: "script")
        let before = try FileDescriptor.open(path, .readOnly)
        try before.close()
        for _ in 0..<50 {
            _ = try ELFImage.open(path: path)
            _ = try? ELFImage.open(path: wrong)
            _ = try? ELFImage.open(path: directory.path)
        }
        let after = try FileDescriptor.open(path, .readOnly)
        try after.close()
        // Other tests of the run have theirs: there is room, but not for fifty.
        #expect(after.rawValue < before.rawValue + 50)
    }
}
