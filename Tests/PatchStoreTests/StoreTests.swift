import Glibc
import JSONText
import PatchFile
import SystemPackage
import TestSupport
import Testing

@testable import PatchStore

/// What the store holds, whose files it believes, and what it does with broken ones.
@Suite struct StoreTests {
    @Test func whereThereIsNoneItIsEmpty() throws {
        let sample = try SampleStore()
        #expect(try sample.store.read().entries.isEmpty)
        #expect(unsafe access(sample.locations.state.string, F_OK) != 0)
    }

    @Test func whatIsInstalledIsReadAgain() throws {
        let sample = try SampleStore()
        let before = Moment.now
        try sample.install(SamplePatch.candidate("a"), SamplePatch.candidate("b"))
        let contents = try sample.store.read()
        #expect(contents.damaged.isEmpty && contents.withdrawn.isEmpty)
        #expect(contents.patches.map(\.name) == ["a", "b"])
        let patch = try #require(contents.patches.first)
        #expect(patch.base == SamplePatch.base && patch.entry.by == "test")
        #expect(patch.paths == ["/srv/daemon"])
        #expect((before...Moment.now).contains(patch.installedAt))
        #expect(patch.file.manifest.name == "a" && patch.digest.count == 64)
        #expect(contents.series(of: SamplePatch.otherBase).isEmpty)
        #expect(contents.bases == [SamplePatch.base])
        var facts = stat()
        #expect(unsafe stat(sample.locations.state.string, &facts) == 0)
        #expect(facts.st_mode & 0o022 == 0)
    }

    @Test func whatIsUninstalledIsWithdrawnUntilItIsGone() throws {
        let sample = try SampleStore()
        try sample.install(SamplePatch.candidate("a"), SamplePatch.candidate("b"))
        try sample.uninstall("a")
        #expect(try sample.names() == ["b"])
        let withdrawn = try sample.store.read().withdrawn
        #expect(withdrawn.map(\.id.name) == ["a"])
        #expect(try sample.files().count == 1)
        try sample.change { change throws(StoreError) in try change.noteGone(Set(withdrawn)) }
        #expect(try sample.store.read().withdrawn.isEmpty)
        // What comes back is not withdrawn any more.
        try sample.uninstall("b")
        try sample.install(SamplePatch.candidate("b"))
        #expect(try sample.store.read().withdrawn.isEmpty)
    }

    @Test func aRefusalChangesNothing() throws {
        let sample = try SampleStore()
        try sample.install(SamplePatch.candidate("a"))
        let list = try sample.locations.series.bytes()
        #expect(throws: StoreError.self) {
            try sample.install(SamplePatch.candidate("b"), SamplePatch.candidate("a", version: "2"))
        }
        #expect(try sample.locations.series.bytes() == list)
        #expect(try sample.files().count == 1)
    }

    @Test func oneThatIsInstalledLearnsWhereElseItsBaseIs() throws {
        let sample = try SampleStore()
        try sample.install(SamplePatch.candidate("a"))
        try sample.change { change throws(StoreError) in
            let candidates: [PatchCandidate]
            do { candidates = [try SamplePatch.candidate("a")] } catch { candidates = [] }
            _ = try change.install(
                candidates, by: "test", paths: { _ in ["/srv/daemon", "/opt/daemon"] })
        }
        let patch = try #require(try sample.store.read().patches.first)
        #expect(patch.paths == ["/srv/daemon", "/opt/daemon"])
    }

    // MARK: Broken files

    enum Damage: String, CaseIterable {
        case gone, torn, empty, foreign, flipped, exchanged, otherBase, writable, link, folder
    }

    /// Each is named and skipped, and the others are not.
    @Test(arguments: Damage.allCases)
    func aDamagedPatch(_ damage: Damage) throws {
        let sample = try SampleStore()
        try sample.install(
            SamplePatch.candidate("a"), SamplePatch.candidate("b"), SamplePatch.candidate("c"))
        let file = try sample.file(of: "b")
        let bytes = try file.bytes()
        let code: String
        switch damage {
        case .gone:
            try file.remove()
            code = "store.patch-missing"
        case .torn:
            try file.write(Array(bytes.prefix(bytes.count / 2)))
            code = "elf.truncated"
        case .empty:
            try file.write([])
            code = "elf.not-elf"
        case .foreign:
            try file.write(try FilePath("/bin/true").bytes())
            code = "patch.no-manifest"
        case .flipped:
            // In the code, which nothing but the digest protects.
            try file.write(try flipped(bytes))
            code = "store.wrong-digest"
        case .exchanged:
            try file.write(try SamplePatch.bytes("b", version: "2"))
            code = "store.wrong-digest"
        case .otherBase:
            let text = String(decoding: try sample.locations.series.bytes(), as: UTF8.self)
            let changed = text.replacing("ba5e000000000001", with: "ba5e000000000002")
            try sample.locations.series.write(Array(changed.utf8))
            #expect(
                try sample.store.read().damaged.map(\.code)
                    == Array(repeating: "store.wrong-base", count: 3))
            return
        case .writable:
            #expect(unsafe chmod(file.string, 0o666) == 0)
            code = "store.untrusted"
        case .link:
            try file.rename(to: sample.directory.path.appending("elsewhere"))
            #expect(unsafe symlink("../../elsewhere", file.string) == 0)
            code = "store.untrusted"
        case .folder:
            try file.remove()
            #expect(unsafe mkdir(file.string, 0o755) == 0)
            code = "store.untrusted"
        }
        let contents = try sample.store.read()
        #expect(contents.patches.map(\.name) == ["a", "c"])
        #expect(contents.entries.count == 3)
        let damaged = try #require(contents.damaged.first)
        #expect(damaged.name == "b" && damaged.code == code, "\(damaged)")
        #expect("\(damaged)".contains("'b'"))
        #expect("\(damaged)".contains("hotpatch uninstall b"))
        if damage == .folder {
            // A folder is somebody's: nothing replaces it.
            #expect(throws: StoreError.self) { try sample.install(SamplePatch.candidate("b")) }
            return
        }
        #expect(try sample.install(SamplePatch.candidate("b")) == [.repaired])
        #expect(try sample.names() == ["a", "b", "c"])
    }

    /// What requires a damaged patch must not be applied without it.
    @Test func whatRequiresADamagedOne() throws {
        let sample = try SampleStore()
        try sample.install(SamplePatch.candidate("a"))
        for (name, function, required) in [("b", "two", ["a"]), ("c", "three", ["b"])] {
            let bytes = try SamplePatch.bytes(name, functions: [function], requires: required)
            try sample.install(PatchCandidate(bytes: bytes, name: name))
        }
        try sample.install(SamplePatch.candidate("d"))
        #expect(try sample.store.read().applicable.map(\.name) == ["a", "b", "c", "d"])
        let first = try #require(try sample.store.read().patches.first)
        try sample.store.path(of: first.id).write([])
        #expect(try sample.store.read().applicable.map(\.name) == ["d"])
    }

    private func flipped(_ bytes: [UInt8]) throws -> [UInt8] {
        // mov eax, 1; ret: the function `one`.
        let code: [UInt8] = [0xb8, 1, 0, 0, 0, 0xc3]
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: code) })
        var changed = bytes
        changed[place + 1] = 7
        return changed
    }

    @Test(arguments: [
        "", "{", "[]", #"{"schema": 2, "patches": [], "withdrawn": []}"#,
        #"{"schema": 1, "patches": [{"name": "../x"}], "withdrawn": []}"#,
        #"{"schema": 1, "patches": []}"#, "\u{0}\u{0}\u{0}",
    ])
    func aDamagedList(_ text: String) throws {
        let sample = try SampleStore()
        try sample.install(SamplePatch.candidate("a"))
        try sample.locations.series.write(Array(text.utf8))
        let error = #expect(throws: StoreError.self) { try sample.store.read() }
        #expect(error?.code == "store.damaged")
        // Nothing is taken for a stray that the list may have named.
        #expect(throws: StoreError.self) { try sample.install(SamplePatch.candidate("b")) }
        #expect(try sample.files().count == 1)
        #expect(error.map { "\($0)" }?.contains("mv ") ?? false)
    }

    /// Whatever the list holds, no entry leads out of the store.
    @Test(arguments: 0..<2000)
    func hostileLists(seed: Int) throws {
        var list = SeriesList()
        for name in ["a", "b"] {
            list.entries.append(
                SeriesEntry(
                    id: PatchID(name: name, digest: String(repeating: "ab", count: 32)),
                    base: SamplePatch.base, installedAt: .now, by: "test", paths: ["/srv/daemon"]))
        }
        list.withdrawn.append(WithdrawnPatch(id: list.entries[0].id, base: SamplePatch.otherBase))
        var mutator = Mutator(seed: UInt64(seed))
        let bytes = mutator.mutated(Array(list.json.text(pretty: true).utf8))
        do throws(JSONError) {
            let read = try SeriesList(parsing: bytes)
            for entry in read.entries {
                #expect(PatchManifest.isValidName(entry.id.name) && entry.id.digest.count == 64)
            }
            #expect(try SeriesList(parsing: Array(read.json.text().utf8)) == read)
        } catch {
            #expect(!error.description.isEmpty)
        }
    }

    @Test func strangersFilesStay() throws {
        let sample = try SampleStore()
        try sample.install(SamplePatch.candidate("a"))
        let digest = String(repeating: "ab", count: 32)
        for name in ["README", "mine.hpatch", "x-12.hpatch", "x-\(digest).hpatch.bak"] {
            try sample.locations.patches.appending(name).write([1])
        }
        for name in ["x-\(digest).hpatch", "x-\(digest).hpatch.part"] {
            try sample.locations.patches.appending(name).write([1])
        }
        try sample.install(SamplePatch.candidate("b"))
        let strangers: Set = ["README", "mine.hpatch", "x-12.hpatch", "x-\(digest).hpatch.bak"]
        #expect(try sample.files().isSuperset(of: strangers))
        #expect(try sample.files().count == strangers.count + 2)
    }
}
