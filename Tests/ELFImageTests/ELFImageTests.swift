import Addresses
import SystemPackage
import Testing

@testable import ELFImage

/// Facts about the test's own binary and the machine's C library, which the
/// loader has already agreed with.
@Suite struct ELFImageTests {
    static let library: FilePath = "/lib/x86_64-linux-gnu/libc.so.6"

    @Test func readsTheCLibrary() throws {
        let image = try ELFImage.open(path: Self.library)
        #expect(image.kind == .sharedObject)
        #expect(image.soname == "libc.so.6")
        #expect(image.needed == ["ld-linux-x86-64.so.2"])
        #expect(image.buildID?.bytes.count == 20)
        #expect(image.tlsSegment != nil)
        #expect(try image.interpreter() == "/lib64/ld-linux-x86-64.so.2")
        #expect(try image.debugLink() != nil)
        #expect(!image.isSeparateDebugFile)
    }

    @Test func resolvesVersions() throws {
        let image = try ELFImage.open(path: Self.library)
        let table = try #require(try image.symbolTable(.dynamic))
        let versions = try table.indexes(named: "memcpy").map { try table.symbol($0) }
        #expect(
            Set(versions.map { "\($0.name)\($0.version.map { "\($0)" } ?? "")" }) == [
                "memcpy@GLIBC_2.2.5", "memcpy@@GLIBC_2.14",
            ])
        #expect(versions.contains { $0.type == .indirectFunction })
        #expect(table.indexes(named: "no such symbol").isEmpty)
    }

    @Test func findsTheBytesOfAFunctionByItsAddress() throws {
        let image = try ELFImage.open(path: Self.library)
        let table = try #require(try image.symbolTable(.dynamic))
        let index = try #require(table.indexes(named: "getpid").first)
        let symbol = try table.symbol(index)
        let range = try #require(AddressRange(start: symbol.value, count: symbol.size))
        let bytes = try image.bytes(at: range)
        let section = try #require(image.section(at: symbol.value))
        let all = try image.bytes(of: section)
        let offset = Int(symbol.value.rawValue - section.address.rawValue)
        #expect(bytes.array() == all.slice(offset, bytes.count)?.array())
        // mov $39,%eax  (getpid is system call 39)
        #expect(bytes.array().starts(with: [0xb8, 0x27, 0, 0, 0]))
    }

    @Test func unwindRangesCoverTheExportedFunctions() throws {
        let image = try ELFImage.open(path: Self.library)
        let ranges = Set(try image.unwindRanges().map(\.range.start))
        let table = try #require(try image.symbolTable(.dynamic))
        for name in ["malloc", "printf", "qsort"] {
            let index = try #require(table.indexes(named: name).first)
            #expect(ranges.contains(try table.symbol(index).value))
        }
    }

    @Test func refusesWhatIsNotELF() throws {
        #expect(throws: ELFError.notELF(name: "x", found: Array("#!/b".utf8))) {
            try ELFImage.parse(bytes: Array("#!/bin/sh\n".utf8), name: "x")
        }
        #expect(throws: ELFError.notELF(name: "x", found: [])) {
            try ELFImage.parse(bytes: [], name: "x")
        }
        #expect(throws: ELFError.notARegularFile(name: "/")) {
            try ELFImage.open(path: "/")
        }
        #expect(
            throws: ELFError.system(
                name: "/nowhere", action: "open", errno: .noSuchFileOrDirectory)
        ) {
            try ELFImage.open(path: "/nowhere")
        }
    }

    @Test func checksumsAsZlibDoes() {
        var crc = CRC32()
        crc.update(ByteView(Array("123456789".utf8)))
        #expect(crc.value == 0xcbf4_3926)
    }

    @Test func viewsAreChecked() {
        let view = ByteView([1, 2, 3, 4, 0])
        #expect(view.load(1, as: UInt16.self) == 0x0302)
        #expect(view.load(2, as: UInt32.self) == nil)
        #expect(view.load(-1, as: UInt8.self) == nil)
        #expect(view.load(.max, as: UInt64.self) == nil)
        #expect(view.slice(4, 2) == nil)
        #expect(view.slice(5, 0)?.isEmpty == true)
        #expect(view.cString(at: 2) == "\u{3}\u{4}")
        #expect(view.cString(at: 5) == nil)
        #expect(ByteView([65]).cString(at: 0) == nil)
    }
}
