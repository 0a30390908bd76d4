import Glibc
import HotpatchKit
import Logging
import Synchronization
import SystemPackage

/// Tells the log what a command does to processes, as it does it. The work goes on
/// where the log cannot be written; that is said once.
final class AuditTrail: Sendable {
    private let log: AuditLog
    private let actor = AuditEvent.Actor.current
    private let state = Mutex((hasWritten: false, hasComplained: false))

    init(_ locations: Locations) { log = AuditLog(locations) }

    /// An event of now.
    func event(_ action: AuditEvent.Action, result: String) -> AuditEvent {
        AuditEvent(action, result: result, by: actor)
    }

    func note(_ events: [AuditEvent]) {
        if events.isEmpty { return }
        attempt { () throws(StoreError) in try log.append(events, syncing: false) }
        state.withLock { $0.hasWritten = true }
    }

    /// What was noted is to outlast a loss of power.
    func finish() {
        guard state.withLock({ $0.hasWritten && !$0.hasComplained }) else { return }
        attempt { () throws(StoreError) in try log.sync() }
    }

    private func attempt(_ body: () throws(StoreError) -> Void) {
        do throws(StoreError) {
            try body()
        } catch {
            let isFirst = state.withLock { state in
                defer { state.hasComplained = true }
                return !state.hasComplained
            }
            guard isFirst else { return }
            // Who is not root has no log by default, and does not miss it.
            let level: Logger.Level = geteuid() != 0 && error.isAboutPermission ? .notice : .warning
            Logger(label: "hotpatch.audit").log(
                level: level, "this is not written to the log: \(error)")
        }
    }
}

extension StoreError {
    var isAboutPermission: Bool {
        guard case .system(_, _, let errno) = self else { return false }
        return [.permissionDenied, .notPermitted, .readOnlyFileSystem].contains(errno)
    }
}

/// What is being done to processes, for the log.
struct AuditedWork: Sendable {
    let trail: AuditTrail
    let action: AuditEvent.Action
    /// The patches that it is about, where it fails and no report tells.
    var subjects: [Subject] = []

    struct Subject: Sendable {
        let name: String
        var digest: String?
        var base: String?
        /// What was tried with it, where that is not the command's own action.
        var action: AuditEvent.Action?
    }

    func note(_ results: [TargetResult], in process: TargetProcess) {
        let target = AuditEvent.Process(process)
        trail.note(
            results.flatMap { result in
                events(of: result).map { event in
                    var event = event
                    event.process = target
                    return event
                }
            })
    }

    /// Nothing came of it, in no process.
    func note(_ failure: Failure) { trail.note(events(of: failure, subjects)) }

    private func events(of result: TargetResult) -> [AuditEvent] {
        switch result.outcome {
        case .success(let report):
            // Nothing was done.
            if [.alreadyApplied, .alreadyReverted, .possible].contains(report.outcome) {
                return []
            }
            let subject = Subject(name: report.patch, digest: report.digest, base: report.base)
            var event = event(
                report.outcome == .reverted ? .revert : action, report.outcome.rawValue, subject)
            event.stallMicroseconds = report.stop?.stallMicroseconds
            return [event]
        case .failure(let failure):
            return events(of: failure, result.subject.map { [$0] } ?? subjects)
        }
    }

    private func events(of failure: Failure, _ subjects: [Subject?]) -> [AuditEvent] {
        (subjects.isEmpty ? [nil] : subjects).map { subject in
            var event = event(subject?.action ?? action, failure.status.word, subject)
            event.code = failure.code
            event.message = failure.message
            return event
        }
    }

    private func event(
        _ action: AuditEvent.Action, _ result: String, _ subject: Subject?
    ) -> AuditEvent {
        var event = trail.event(action, result: result)
        event.patch = subject?.name
        event.digest = subject?.digest
        event.base = subject?.base
        return event
    }
}

extension AuditedWork.Subject {
    init(_ patch: PatchFile) {
        self.init(
            name: patch.manifest.name, digest: PatchID(patch).digest,
            base: "\(patch.manifest.base.identity)")
    }
}

extension AuditEvent.Process {
    init(_ process: TargetProcess) {
        let path = try? process.executablePath().path
        self.init(
            pid: process.id.rawValue, startTime: process.startTime,
            executable: path ?? process.name)
    }
}
