import LiveProcess
import PatchFile
import Switchover

/// One patch in one process: how it is applied there, or that it should be.
public struct PatchCoverage: Sendable {
    public enum State: Sendable, Equatable {
        /// The process has a payload of it.
        case present(AppliedPatch.State)
        /// It is installed, and the process runs its base without it.
        case missing(Reason)
    }

    /// Why a process goes without a patch that is installed.
    public enum Reason: Sendable, Equatable {
        /// The service has tried and was refused: a code and a sentence.
        case refused(code: String, message: String)
        /// Another program traces the process, and only one can.
        case traced(by: ProcessID)
        /// It has more than one copy of the base.
        case baseLoadedTwice
        /// It runs another build than the patch is for, from where the base was.
        case otherBuild(String)
        /// It started before the patch was installed or while no service ran, or by a
        /// way that the service does not see.
        case notTried
    }

    public let name: String
    public let version: String
    /// BLAKE2b-256 of the patch file, in hexadecimal.
    public let digest: String
    /// The path of the object that it is for, as the process knows it.
    public let object: String
    /// The build that it is for, as it is shown.
    public let base: String
    public let state: State
    /// Whether it is among the patches that are to be applied.
    public internal(set) var isInstalled = false
    /// Whether it was among them, and should not be applied any more.
    public internal(set) var isWithdrawn = false
    /// What the process has of it; nil where it is missing.
    public internal(set) var applied: AppliedPatch?
    /// Where the process ran unpatched before the service found it: when that was,
    /// in seconds since 1970.
    public internal(set) var caughtUpAt: Int64?
    /// What a restart would change; nil where it would load the same build again.
    public internal(set) var afterRestart: AfterRestart?
}

/// What a process gets that is started again, where the file on disk is another
/// build by now.
public enum AfterRestart: Sendable, Equatable {
    /// The patch says that the new build contains the fix.
    case fixed(build: String)
    /// A patch that is installed for the new build answers the same.
    case patched(build: String, by: String)
    /// Neither: the fix would be lost.
    case unfixed(build: String)
    /// No file is there any more, or none that can be read.
    case unknown(String)
}

extension AfterRestart {
    /// - Parameters:
    ///   - patch: a patch for the build that the process runs.
    ///   - build: what stands on disk under that name.
    init(of patch: PatchManifest, to build: BaseIdentity, installed: [PatchManifest]) {
        if patch.fixedIn.contains(build) {
            self = .fixed(build: build.description)
        } else if let other = installed.first(where: {
            $0.base.identity == build && $0.answersTheSame(as: patch)
        }) {
            self = .patched(build: build.description, by: other.name)
        } else {
            self = .unfixed(build: build.description)
        }
    }
}

extension AfterRestart {
    var losesFix: Bool {
        if case .unfixed = self { true } else { false }
    }
}

extension PatchManifest {
    /// Whether it is the same fix for another build: of the same name, in its place,
    /// or for the same report.
    fileprivate func answersTheSame(as patch: PatchManifest) -> Bool {
        name == patch.name || supersedes.contains(patch.name)
            || references.contains(where: patch.references.contains)
    }
}
