import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import PatchStore

/// A store that somebody else could change is not used, neither to read nor to write.
@Suite struct TrustTests {
    private func refusal(
        _ sample: SampleStore, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let error = try #require(
            #expect(throws: StoreError.self, sourceLocation: sourceLocation) {
                _ = try PatchStore(opening: sample.locations).read()
            })
        #expect(error.code == "store.untrusted", sourceLocation: sourceLocation)
        let patch = try sample.write(SamplePatch.bytes("b"), as: "b")
        let result = try sample.run(["install", patch, "--no-apply"])
        #expect(result.code == 2, sourceLocation: sourceLocation)
        #expect(result.errorOutput.contains("[store.untrusted]"), sourceLocation: sourceLocation)
        return result.errorOutput
    }

    private func installed() throws -> SampleStore {
        let sample = try SampleStore()
        try sample.install(SamplePatch.candidate("a"))
        return sample
    }

    @Test(arguments: [0o777 as mode_t, 0o775, 0o757, 0o1777])
    func writableForOthers(_ mode: mode_t) throws {
        for part in ["state", "state/patches", "state/series.json"] {
            let sample = try installed()
            let path = sample.directory.path.pushing(FilePath(part))
            #expect(unsafe chmod(path.string, mode) == 0)
            #expect(try refusal(sample).contains("chmod go-w \(path)"))
        }
    }

    /// Whoever may rename the directory may put another one in its place.
    @Test func beneathADirectoryOfOthers() throws {
        let sample = try SampleStore()
        #expect(unsafe chmod(sample.directory.path.string, 0o777) == 0)
        #expect(try refusal(sample).contains("chmod go-w \(sample.directory.path)"))
        // In one such as /tmp nobody may rename what is not theirs.
        #expect(unsafe chmod(sample.directory.path.string, 0o1777) == 0)
        try sample.install(SamplePatch.candidate("a"))
        #expect(try sample.names() == ["a"])
    }

    @Test func symbolicLinks() throws {
        for part in ["state", "state/patches", "state/series.json"] {
            let sample = try installed()
            let path = sample.directory.path.pushing(FilePath(part))
            let elsewhere = sample.directory.path.appending("elsewhere")
            try path.rename(to: elsewhere)
            #expect(unsafe symlink(elsewhere.string, path.string) == 0)
            #expect(try refusal(sample).contains("'\(path)' is a symbolic link"))
        }
        let sample = try installed()
        let lock = sample.locations.lock
        try lock.remove()
        let elsewhere = sample.directory.path.appending("elsewhere").string
        #expect(unsafe symlink(elsewhere, lock.string) == 0)
        #expect(throws: StoreError.untrusted(lock, .symbolicLink)) {
            try sample.install(SamplePatch.candidate("b"))
        }
        #expect(unsafe access(elsewhere, F_OK) != 0)
    }

    @Test func filesInPlaceOfDirectories() throws {
        let sample = try SampleStore()
        try sample.locations.state.write([])
        #expect(try refusal(sample).contains("is no directory"))
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give files away"))
    func ownedBySomebodyElse() throws {
        for part in ["state", "state/patches", "state/series.json"] {
            let sample = try installed()
            let path = sample.directory.path.pushing(FilePath(part))
            #expect(unsafe lchown(path.string, 12345, 12345) == 0)
            #expect(try refusal(sample).contains("chown 0 \(path)"))
        }
    }

    /// The one of the machine belongs to root, whoever asks.
    @Test func theStandardPlaceIsRoots() {
        #expect(Locations.standard.trustedOwners == [0])
        var own = Locations.standard
        own.state = "/home/somebody/patches"
        #expect(own.trustedOwners == [0, geteuid()])
    }
}
