import Addresses
import ELFImage
import SystemPackage
import TestSupport
import Testing

@testable import Patchability

/// Tests/Fixtures/plain.c, linked and compiled in every way.
@Suite struct CatalogTests {
    private static let work = ["plain_work", "plain_static", "plain_switch", "main"]

    private func catalog(_ flags: [String]) throws -> FunctionCatalog {
        try FunctionCatalog(ELFImage.open(path: try Fixture.compile("plain", flags: flags)))
    }

    private func site(_ name: String, in catalog: FunctionCatalog) throws -> Site {
        let found = catalog.functions(named: name)
        try #require(found.count == 1, "\(name)")
        return try #require(found[0].verdict.site, "\(found[0].verdict)")
    }

    @Test(
        arguments: [
            (["-O2"], .positionIndependentExecutable),
            (["-O0"], .positionIndependentExecutable),
            (["-Os"], .positionIndependentExecutable),
            (["-O2", "-no-pie", "-fno-pie"], .executable),
            (["-O2", "-static"], .executable),
            (["-O2", "-static-pie"], .positionIndependentExecutable),
            (["-O2", "-shared", "-fPIC"], .sharedObject),
            (["-O2", "-Wl,-z,now", "-Wl,-z,pack-relative-relocs"], .positionIndependentExecutable),
            (["-O2", "-mcmodel=large"], .positionIndependentExecutable),
            (["-O2", "-ffunction-sections", "-Wl,--gc-sections"], .positionIndependentExecutable),
        ] as [([String], ELFImage.Kind)])
    func everyKindOfObject(_ flags: [String], _ kind: ELFImage.Kind) throws {
        let catalog = try catalog(flags)
        #expect(catalog.image.kind == kind)
        for name in Self.work {
            #expect(try site(name, in: catalog).offset == 0, "\(name)")
        }
        #expect(Set(catalog.map(\.address)).count == catalog.count)
        if !flags.contains("-static") && !flags.contains("-static-pie") {
            #expect(catalog.functions(named: "puts@plt").count == 1)
        }
    }

    /// The stubs of a static program stand for its own IFUNCs.
    @Test func stubsOfAStaticProgram() throws {
        let stubs = try catalog(["-O2", "-static"]).filter { $0.kind == .pltStub }
        #expect(stubs.contains { $0.name == "strlen@plt" }, "\(stubs.map(\.displayName))")
    }

    @Test func endbr64Stays() throws {
        let catalog = try catalog(["-O2", "-fcf-protection=full"])
        for name in Self.work {
            let site = try site(name, in: catalog)
            // A local function that nobody calls through a pointer has none.
            #expect(site.followsEndbr64 == (name != "plain_static"))
            #expect(site.offset == (site.followsEndbr64 ? 4 : 0))
        }
    }

    @Test(arguments: ["-fpatchable-function-entry=5", "-fpatchable-function-entry=2"])
    func nopsAreAGoodPlace(_ flag: String) throws {
        for flags in [["-O2", flag], ["-O2", flag, "-fcf-protection=full"]] {
            let catalog = try catalog(flags)
            for name in Self.work {
                let site = try site(name, in: catalog)
                #expect(site.offset == (site.followsEndbr64 ? 4 : 0))
            }
        }
    }

    @Test func clangAndItsLinker() throws {
        let directory = try TemporaryDirectory()
        for flags in [["-O2"], ["-O2", "-fuse-ld=lld"], ["-O2", "-no-pie", "-fno-pie"]] {
            let path = directory.path.appending("plain")
            let command = try Command.run(
                "clang", [Fixture.sources.appending("plain.c").string, "-o", path.string] + flags)
            try #require(command.succeeded, "\(command.errorOutput)")
            let catalog = try FunctionCatalog(ELFImage.open(path: path))
            for name in Self.work { #expect(try site(name, in: catalog).offset == 0) }
            #expect(catalog.functions(named: "puts@plt").count == 1)
        }
    }

    @Test func aStrippedProgramIsKnownByItsUnwindTable() throws {
        let original = try Fixture.compile("plain", flags: ["-O2"])
        let directory = try TemporaryDirectory()
        let stripped = directory.path.appending("stripped")
        try run("strip", ["-o", stripped.string, original.string])
        let named = try FunctionCatalog(ELFImage.open(path: original))
        let unnamed = try FunctionCatalog(ELFImage.open(path: stripped))
        #expect(unnamed.functions(named: "plain_work").isEmpty)
        for name in Self.work {
            let before = try #require(named.functions(named: name).first)
            let after = try #require(unnamed.function(at: before.address))
            #expect(after.kind == .unnamed)
            #expect(after.names.isEmpty)
            #expect(after.range == before.range)
            #expect(after.verdict == before.verdict)
        }
    }

    @Test(arguments: ["--build-id", "--build-id=none"])
    func aDebugFileGivesTheNames(_ buildID: String) throws {
        let original = try Fixture.compile("plain", flags: ["-O2", "-Wl,\(buildID)"])
        let directory = try TemporaryDirectory()
        let stripped = directory.path.appending("plain")
        let debug = directory.path.appending("plain.debug")
        try run("objcopy", ["--only-keep-debug", original.string, debug.string])
        try run("strip", ["-o", stripped.string, original.string])
        try run("objcopy", ["--add-gnu-debuglink=\(debug.string)", stripped.string])

        let image = try ELFImage.open(path: stripped)
        let search = try DebugFiles.locate(for: image)
        let found = try #require(search.found, "\(search.rejected)")
        #expect(found.isSeparateDebugFile)
        let catalog = try FunctionCatalog(image, debugImage: found)
        let name = try #require(catalog.functions(named: "plain_static").first?.names.first)
        #expect(name.source == .debugFile)
        #expect(name.sourceFile == "plain.c")
        #expect(throws: CatalogError.separateDebugFile(name: found.name)) {
            try FunctionCatalog(found)
        }

        // Another build's file of the right name is not taken.
        let other = try Fixture.compile("plain", flags: ["-O1", "-Wl,\(buildID)"])
        try run("objcopy", ["--only-keep-debug", other.string, debug.string])
        let rejected = try DebugFiles.locate(for: image)
        #expect(rejected.found == nil)
        #expect(rejected.rejected.count == 1)
    }

    @Test func anObjectFileHasNoAddressesYet() throws {
        let path = try Fixture.compile("plain", flags: ["-c"], output: "plain.o")
        let image = try ELFImage.open(path: path)
        #expect(throws: CatalogError.relocatable(name: path.string)) { try FunctionCatalog(image) }
    }

    private func run(_ program: String, _ arguments: [String]) throws {
        let command = try Command.run(program, arguments)
        try #require(command.succeeded, "\(program): \(command.errorOutput)")
    }
}
