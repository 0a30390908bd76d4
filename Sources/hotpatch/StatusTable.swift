import HotpatchKit
import JSONText

extension StatusReport {
    private typealias Row = (process: MachineSurvey.Process, patch: PatchCoverage)

    private var rows: [Row] {
        processes.flatMap { process in process.patches.map { (process, $0) } }
    }

    // MARK: For people

    func text(width: Int?) -> String {
        var text =
            rows.isEmpty
            ? "No patch is applied.\n"
            : table(isForPrograms: false).text(format: .table, width: width)
        guard isSurvey, !store.patches.isEmpty || service.record != nil else { return text }
        let idle = store.patches.filter { patch in
            !rows.contains { $0.patch.digest == patch.digest }
        }
        if !idle.isEmpty {
            text += "Installed, and nothing runs that it is for: "
            text += idle.map(\.name).joined(separator: " ") + "\n"
        }
        if !retired.isEmpty {
            text +=
                "The fix is in the files on disk, and 'hotpatch uninstall --retired' takes out: "
            text += retired.map(\.name).joined(separator: " ") + "\n"
        }
        return text + service.sentence + "\n"
    }

    /// People see a digest only where one process has two builds of a patch, and a note
    /// only where there is one; programs can rely on all columns.
    func table(isForPrograms: Bool) -> Table {
        let rows = rows
        let showsDigest = isForPrograms || hasNamesakes(rows)
        let showsNotes = isForPrograms || rows.contains { !$0.patch.note.isEmpty }
        var columns: [Table.Column] = [
            .init(title: "pid", alignment: .right),
            .init(title: "program", shrinking: .init(rank: 4, least: 8)),
            .init(title: "patch", shrinking: .init(rank: 5, least: 8)),
            .init(title: "version"), .init(title: "state"),
            // Down to the day.
            .init(title: "since", shrinking: .init(rank: 3, least: 11)),
            .init(title: "object", shrinking: .init(rank: 1, least: 6, keepsFileName: true)),
            .init(title: "functions", shrinking: .init(rank: 2, least: 9)),
        ]
        if showsDigest { columns.append(.init(title: "digest")) }
        if showsNotes { columns.append(.init(title: "note")) }
        var table = Table(columns)
        for (process, patch) in rows {
            var cells = [
                "\(process.id)", process.name, patch.name, patch.version, patch.stateName,
                patch.since.map(LocalTime.text) ?? "", patch.object,
                isForPrograms ? patch.functions.joined(separator: " ") : patch.shownFunctions,
            ]
            if showsDigest {
                cells.append(isForPrograms ? patch.digest : String(patch.digest.prefix(12)))
            }
            if showsNotes { cells.append(patch.note) }
            table.add(cells)
        }
        return table
    }

    private func hasNamesakes(_ rows: [Row]) -> Bool {
        var names: Set<String> = []
        return rows.contains { !names.insert("\($0.process.id) \($0.patch.name)").inserted }
    }

    // MARK: For programs

    private func isRetired(_ patch: InstalledPatch) -> Bool {
        retired.contains { $0.id == patch.id && $0.base == patch.base }
    }

    var json: [JSONMember] {
        [
            JSONMember("patches", .array(rows.map { $0.patch.json(in: $0.process) })),
            JSONMember(
                "installed",
                .array(
                    store.patches.map {
                        [
                            "patch": .string($0.name), "digest": .string($0.digest),
                            "base": .string($0.base.description),
                            "retired": .bool(isRetired($0)),
                        ]
                    })),
            JSONMember(
                "damaged",
                .array(
                    store.damaged.map {
                        [
                            "patch": .string($0.name), "code": .string($0.code),
                            "message": .string($0.description),
                        ]
                    })),
            JSONMember("service", service.json),
            JSONMember("notLookedAt", .integer(Int64(notPermitted.count))),
        ]
    }
}

extension PatchCoverage {
    /// As all outputs name it.
    var stateName: String {
        switch state {
        case .present(let state): state.rawValue
        case .missing(.otherBuild): "other-build"
        case .missing: "missing"
        }
    }

    /// When it was applied, where it still is.
    fileprivate var since: UInt64? {
        guard case .present(let state) = state, state.isSwitchedIn else { return nil }
        return applied?.appliedAt
    }

    fileprivate var functions: [String] { applied?.record.detours.map(\.symbol) ?? [] }

    /// The functions that it replaces; with those that another patch has taken over
    /// comes that patch.
    fileprivate var shownFunctions: String {
        guard let applied else { return "" }
        let over = Dictionary(
            applied.covered.map { ($0.symbol, $0.by) }, uniquingKeysWith: { $1 })
        return functions.map { symbol in
            symbol + (over[symbol].map { " (under \($0))" } ?? "")
                + (applied.disturbed[symbol].map { " (\($0))" } ?? "")
        }.joined(separator: " ")
    }

    /// Why it is missing, what was not as it should be, and what a restart would change.
    fileprivate var note: String {
        [
            reason?.message,
            applied?.damage?.description,
            applied?.callbackNote,
            isWithdrawn ? "uninstalled and still in; 'hotpatch revert' it" : nil,
            caughtUpAt.map {
                "ran unpatched until \(LocalTime.text(UInt64(clamping: $0)))"
            },
            afterRestart?.sentence,
        ].compactMap(\.self).joined(separator: "; ")
    }

    fileprivate var reason: (code: String, message: String)? {
        guard case .missing(let reason) = state else { return nil }
        return switch reason {
        case .refused(let code, let message): (code, message)
        case .traced(let tracer): ("process.already-traced", "traced by process \(tracer)")
        case .baseLoadedTwice:
            ("switch.base-loaded-twice", "more than one copy of its base is loaded")
        case .otherBuild(let build):
            ("switch.base-not-loaded", "runs build \(build.prefix(12)), which has no patch for it")
        case .notTried:
            (
                "status.not-tried",
                "not applied since it started; 'hotpatch apply' it, or restart the service"
            )
        }
    }

    fileprivate func json(in process: MachineSurvey.Process) -> JSONValue {
        .object(
            [
                JSONMember("pid", .integer(Int64(process.id.rawValue))),
                JSONMember("program", .string(process.name)),
                JSONMember("patch", .string(name)),
                JSONMember("version", .string(version)),
                JSONMember("digest", .string(digest)),
                JSONMember("state", .string(stateName)),
                JSONMember("since", since.map { .string(LocalTime.text($0)) } ?? .null),
                JSONMember("object", .string(object)),
                JSONMember("base", .string(base)),
                JSONMember("installed", .bool(isInstalled)),
                JSONMember("withdrawn", .bool(isWithdrawn)),
                JSONMember(
                    "caughtUp",
                    caughtUpAt.map { .string(LocalTime.text(UInt64(clamping: $0))) } ?? .null),
                JSONMember(
                    "reason",
                    reason.map { ["code": .string($0.code), "message": .string($0.message)] }
                        ?? .null),
                JSONMember("afterRestart", afterRestart?.json ?? .null),
            ] + (applied.map(Self.json) ?? []))
    }

    private static func json(_ applied: AppliedPatch) -> [JSONMember] {
        let record = applied.record
        return [
            JSONMember(
                "payload",
                [
                    "start": .string("\(record.extent.start)"),
                    "size": .integer(Int64(clamping: record.extent.range?.count ?? 0)),
                ]),
            JSONMember(
                "covered",
                .array(
                    applied.covered.map { ["symbol": .string($0.symbol), "by": .string($0.by)] })),
            JSONMember(
                "disturbances",
                .array(
                    applied.disturbances.map {
                        [
                            "symbol": .string($0.symbol), "address": .string("\($0.address)"),
                            "found": .string(Hexadecimal.text($0.found)),
                            "breakpoint": .bool($0.isBreakpoint),
                        ]
                    })),
            JSONMember("callbacks", .array(record.callbacks.map(JSONValue.string))),
            JSONMember("once", applied.once.map { .string($0.rawValue) } ?? .null),
            JSONMember("damage", applied.damage.map { .string($0.description) } ?? .null),
            JSONMember(
                "functions",
                .array(
                    record.detours.map {
                        [
                            "symbol": .string($0.symbol), "site": .string("\($0.site)"),
                            "entry": .string("\($0.entry)"),
                        ]
                    })),
        ]
    }
}

extension AppliedPatch {
    /// What of it has not run yet.
    fileprivate var callbackNote: String? {
        guard state.isSwitchedIn, let once, once != .done, !record.callbacks.isEmpty else {
            return nil
        }
        let names = record.callbacks.joined(separator: ", ")
        return once == .pending
            ? "calls \(names) when a replacement is first entered"
            : "a thread is calling \(names)"
    }

    /// What somebody else has written at a function's entry.
    fileprivate var disturbed: [String: String] {
        Dictionary(
            disturbances.map {
                ($0.symbol, $0.isBreakpoint ? "breakpoint at \($0.address)" : "overwritten")
            }, uniquingKeysWith: { first, _ in first })
    }
}

extension AfterRestart {
    /// As programs read it.
    var word: String {
        switch self {
        case .fixed: "fixed"
        case .patched: "patched"
        case .unfixed: "unfixed"
        case .unknown: "unknown"
        }
    }

    fileprivate var sentence: String {
        switch self {
        case .fixed(let build): "a restart moves it to build \(build.prefix(12)), which has the fix"
        case .patched(let build, let patch):
            "a restart moves it to build \(build.prefix(12)), which gets '\(patch)'"
        case .unfixed(let build):
            "a restart moves it to build \(build.prefix(12)) and loses the fix"
        case .unknown(let reason): "what a restart would load cannot be told: \(reason)"
        }
    }

    fileprivate var json: JSONValue {
        switch self {
        case .fixed(let build), .unfixed(let build):
            ["result": .string(word), "build": .string(build)]
        case .patched(let build, let patch):
            ["result": .string(word), "build": .string(build), "by": .string(patch)]
        case .unknown(let reason): ["result": .string(word), "message": .string(reason)]
        }
    }
}
