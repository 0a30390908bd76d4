import LiveProcess
import Logging
import PatchFile
import PatchStore
import Startup
import Switchover

/// Tells what came of processes, in the audit log and in the log of the service. What
/// is refused again and again is told once.
struct WatchJournal {
    private struct Refusal: Hashable {
        let process: ProcessID
        let startTime: UInt64
        let patch: String
        let code: String
    }

    private let audit: AuditLog
    private var told: Set<Refusal> = []
    /// Why the audit log could not be kept, the last time.
    private var obstacle: String?

    init(_ locations: Locations) { audit = AuditLog(locations) }

    mutating func note(_ outcomes: [ProcessOutcome], _ log: Logger) {
        var events: [AuditEvent] = []
        for outcome in outcomes {
            for one in outcome.outcomes {
                if let event = event(one, of: outcome, log) { events.append(event) }
            }
        }
        do throws(StoreError) {
            try audit.append(events)
            obstacle = nil
        } catch {
            // Not once for each program that starts while a disk is full.
            if obstacle != "\(error)" { log.error("cannot keep the audit log: \(error)") }
            obstacle = "\(error)"
        }
    }

    private mutating func event(
        _ one: PatchOutcome, of outcome: ProcessOutcome, _ log: Logger
    ) -> AuditEvent? {
        let who = "\(outcome.process) (\(outcome.executable))"
        switch one.result {
        case .success(let report):
            guard report.outcome == .applied || report.outcome == .reverted else { return nil }
            let done = report.outcome.rawValue
            log.info("\(outcome.occasion.rawValue) \(who): \(done) '\(one.patch.name)'")
            var event = event(report.outcome.rawValue, one, of: outcome)
            event.stallMicroseconds = report.stop?.stallMicroseconds
            return event
        case .failure(let error):
            let refusal = Refusal(
                process: outcome.process, startTime: outcome.startTime, patch: one.patch.name,
                code: error.code)
            // Processes come and go; what is told twice after so many does no harm.
            if told.count > 10_000 { told.removeAll() }
            guard told.insert(refusal).inserted else { return nil }
            let what = "cannot \(one.action.rawValue) '\(one.patch.name)'"
            log.warning("\(outcome.occasion.rawValue) \(who): \(what): \(error)")
            var event = event("refused", one, of: outcome)
            event.code = error.code
            event.message = error.description
            return event
        }
    }

    private func event(
        _ result: String, _ one: PatchOutcome, of outcome: ProcessOutcome
    ) -> AuditEvent {
        var event = AuditEvent(one.action == .apply ? .reapply : .revert, result: result)
        event.process = AuditEvent.Process(
            pid: outcome.process.rawValue, startTime: outcome.startTime,
            executable: outcome.executable)
        event.base = one.base.description
        event.patch = one.patch.name
        event.digest = one.patch.digest
        return event
    }
}
