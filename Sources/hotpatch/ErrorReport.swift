import HotpatchKit
import SystemPackage

extension Failure {
    /// The failure that an error of one of the rooms is for the user, or nil
    /// where the error is none of theirs.
    init?(of error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let error as ELFError: self.init(.failed, error.code, error)
        case let error as CatalogError: self.init(.failed, error.code, error)
        case let error as DecoderUnavailable: self.init(.failed, error.code, error)
        case let error as PatchFileError: self.init(.failed, error.code, error)
        case let error as AuthoringError:
            self.init(error.exitStatus, error.code, error)
        case let error as LiveProcessError: self.init(error)
        case let error as StoreError: self.init(error)
        case let error as WatchError: self.init(error.exitStatus, error.code, error)
        case let error as LinkError: self.init(.refused, error.code, error)
        case let error as SwitchoverError: self.init(error)
        default: return nil
        }
    }

    init(_ error: LiveProcessError) { self.init(error.exitStatus, error.code, error) }

    init(_ error: SwitchoverError) {
        self.init(error.exitStatus, error.code, error)
        activities = error.activities
        if case .interrupted(let signal) = error { self.signal = signal }
    }

    init(_ error: StoreError) { self.init(error.exitStatus, error.code, error) }

    init(_ status: ExitStatus, _ code: String, _ error: any CustomStringConvertible) {
        self.init(status: status, code: code, message: error.description)
    }
}

extension AuthoringError {
    fileprivate var exitStatus: ExitStatus {
        if case .compilerFlag = self { return .usage }
        return isRefusal ? .refused : .failed
    }
}

extension LiveProcessError {
    fileprivate var exitStatus: ExitStatus {
        switch self {
        case .noSuchProcess, .threadOfProcess, .ended, .zombie, .dumpingCore: .noSuchTarget
        case .notPermitted: .notPermitted
        case .kernelThread, .foreignProgram, .alreadyTraced, .seccomp, .noRoomForStub,
            .programChanged:
            .refused
        case .cannotStopNow, .noThreadForCall, .occupied: .timedOut
        default: .failed
        }
    }
}

extension SwitchoverError {
    fileprivate var exitStatus: ExitStatus {
        switch self {
        case .refused: .refused
        case .busy, .cannotStop: .timedOut
        case .process(let error): error.exitStatus
        case .verification, .interrupted: .failed
        }
    }
}

extension StoreError {
    fileprivate var exitStatus: ExitStatus {
        switch self {
        case .untrusted: .refused
        case .system where isAboutPermission: .notPermitted
        case .system, .damagedSeries: .failed
        case .busy: .timedOut
        case .refused(.notInstalled): .noSuchTarget
        case .refused: .refused
        }
    }
}

extension WatchError {
    fileprivate var exitStatus: ExitStatus {
        switch self {
        case .system(_, .notPermitted), .system(_, .permissionDenied): .notPermitted
        case .store(let error): error.exitStatus
        case .occupied: .timedOut
        case .system, .unreadable, .guardianLost, .heldTooLong: .failed
        }
    }
}

extension Failure {
    init(_ error: StartFailure) { self.init(error.exitStatus, error.code, error) }

    init(_ error: RunnableFileError) {
        self.init(error.isAbsence ? .commandNotFound : .cannotRun, error.code, error)
    }
}

extension StartFailure {
    fileprivate var exitStatus: ExitStatus {
        switch self {
        case .switchover(let error): error.exitStatus
        case .process(let error): error.exitStatus
        case .baseNotMapped, .librariesNotMapped, .predecessorMissing, .tooSlow: .refused
        }
    }
}
