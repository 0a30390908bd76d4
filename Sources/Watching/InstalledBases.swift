import LiveProcess
import PatchFile
import PatchLinker
import PatchStore
import Synchronization

/// The installed patches by the build that they are for, as they are at this moment.
final class InstalledBases: Sendable {
    /// The patches for one build, in the order in which they go in.
    struct Series: Sendable {
        let base: Base
        let patches: [PatchFile]
        /// The files of programs that are patched with them, read once.
        let images = ObjectImages()
        let preparations = PatchPreparations()
    }

    private let series = Mutex<[BaseIdentity: Series]>([:])

    /// Takes the place of all that was known.
    func replace(with patches: [InstalledPatch]) {
        let bases = Dictionary(grouping: patches.map(\.file), by: \.manifest.base.identity)
        let all = bases.compactMapValues { patches in
            patches.first.map { Series(base: $0.manifest.base, patches: patches) }
        }
        series.withLock { $0 = all }
    }

    subscript(identity: BaseIdentity) -> Series? { series.withLock { $0[identity] } }

    /// A base that has no build id and is of that name.
    func withoutBuildID(called name: String) -> Series? {
        series.withLock { series in
            series.first { identity, series in
                if case .contentDigest = identity { series.base.fileName == name } else { false }
            }?.value
        }
    }

    var patchesOfLibraries: [PatchFile] {
        all.filter { $0.base.occasion == .opening }.flatMap(\.patches)
    }

    var all: [Series] { series.withLock { Array($0.values) } }
}

extension Base {
    /// When the kernel is to ask about files of this base.
    var occasion: PermissionGroup.Occasion {
        switch kind {
        case .executable, .positionIndependentExecutable: .execution
        case .sharedObject: .opening
        }
    }
}
