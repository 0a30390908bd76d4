import Glibc
import SystemPackage
import TestSupport
import Testing
import TortureEngine

/// The command is asked to end, or loses what it writes to, in the middle of its
/// work: it does all of it or nothing, says so, and leaves nothing behind.
@Suite struct InterruptionTests {
    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT], ["table", "json"])
    func aRequestToEndIsHeard(_ signal: Int32, _ format: String) throws {
        let scene = try Scene()
        let apply = try scene.startWaiting(options: ["--format", format])
        apply.signal(signal)
        let result = try apply.finish()
        #expect(result.exit == .killed(signal: signal))
        #expect(try (scene.errors() + result.output).contains("interrupted"))
        try scene.expectUntouched()
    }

    /// Ctrl-C on the terminal that the command was started on.
    @Test func ctrlCIsHeard() throws {
        let scene = try Scene()
        let terminal = try Terminal()
        let apply = try scene.startWaiting(
            "exec setsid --ctty \"$@\" <\(terminal.path) >\(terminal.path)")
        try terminal.type(3)
        #expect(try apply.finish().exit == .killed(signal: SIGINT))
        try scene.expectUntouched()
    }

    @Test(arguments: ["table", "json"])
    func aClosedTerminalEndsIt(_ format: String) throws {
        let scene = try Scene()
        let terminal = try Terminal()
        let apply = try scene.startWaiting(
            "exec setsid --ctty \"$@\" <\(terminal.path) >\(terminal.path)",
            options: ["--format", format])
        terminal.hangUp()
        #expect(try apply.finish().exit == .killed(signal: SIGHUP))
        try scene.expectUntouched()
    }

    /// With nohup it goes on; what it can no longer print it says elsewhere.
    @Test(arguments: ["table", "json"])
    func withoutATerminalTheWorkIsDone(_ format: String) throws {
        let scene = try Scene()
        let terminal = try Terminal()
        let apply = try scene.startWaiting(
            """
            trap '' HUP
            exec setsid --ctty "$@" <\(terminal.path) >\(terminal.path)
            """, options: ["--format", format])
        terminal.hangUp()
        #expect(try scene.victim.ask("leave") == "1")
        #expect(try apply.finish().code == 1)
        let errors = try scene.errors()
        #expect(errors.contains("applied"), Comment(rawValue: errors))
        #expect(errors.contains("Input/output error"), Comment(rawValue: errors))
        try scene.remains.expectClean(["entered-fix"])
    }

    /// The reader of a pipe goes away, or the disk is full.
    @Test(arguments: [
        (#""$@" | true; exit ${PIPESTATUS[0]}"#, "Broken pipe"),
        (#"exec "$@" >/dev/full"#, "No space left on device"),
    ])
    func whatCannotBePrintedIsDoneAllTheSame(_ script: String, _ reason: String) throws {
        let scene = try Scene()
        for (command, applied) in [("apply", ["entered-fix"]), ("revert", []), ("recover", [])] {
            let words: [String] =
                switch command {
                case "revert": ["revert", "entered-fix"] + scene.arguments.suffix(2)
                case "recover": ["recover"] + scene.arguments.suffix(2)
                default: Array(scene.arguments.dropFirst())
                }
            let result = try Command.run(
                "bash", ["-c", script, "bash", scene.arguments[0]] + words + ["--format", "json"])
            #expect(result.code == 1, Comment(rawValue: "\(result)"))
            #expect(result.errorOutput.contains(reason), Comment(rawValue: result.errorOutput))
            #expect(
                result.errorOutput.contains("\(scene.victim.pid)"),
                Comment(rawValue: result.errorOutput))
            try scene.remains.expectClean(Set(applied))
        }
    }

    /// A limit on the size of files holds for files in memory too.
    @Test func aLimitOfFileSizesIsAnError() throws {
        let scene = try Scene()
        let result = try Command.run("prlimit", ["--fsize=1000", "--"] + scene.arguments)
        #expect(result.code == 1, Comment(rawValue: "\(result)"))
        #expect(
            result.errorOutput.contains("File too large"), Comment(rawValue: result.errorOutput))
        try scene.remains.expectClean([])
        try scene.remains.expectNoTracedThread()
    }

    /// At any moment: all or nothing, and in either case nothing else.
    @Test func nothingIsLeftWheneverItIsAskedToEnd() throws {
        let programs = try Programs()
        let subject = try Subject(programs)
        let tool = try BuiltProduct.path("hotpatch").string
        let patch = try #require(programs.patches["many"]).string
        let target = ["--pid", "\(subject.pid)"]
        var random = Mutator(seed: UInt64.random(in: 0..<1 << 32))
        var endings: [String: Int] = [:]
        for round in 0..<60 {
            let isApply = round % 2 == 0
            let command = try RunningCommand(
                tool, (isApply ? ["apply", patch] : ["revert", "--all"]) + target)
            usleep(UInt32(random.next(below: 150_000)))
            let signal = [SIGTERM, SIGINT, SIGHUP][random.next(below: 3)]
            command.signal(signal)
            let ending = try command.finish()
            endings["\(ending.exit)", default: 0] += 1
            #expect(
                ending.succeeded || ending.exit == .killed(signal: signal),
                Comment(rawValue: "\(ending.exit) \(ending.errorOutput)"))
            try subject.remains.expectNoTracedThread()
            let isApplied = try subject.versions()[1] == 2
            try subject.remains.expectClean(isApplied ? ["many"] : [])
            if ending.succeeded { #expect(isApplied == isApply) }
        }
        print("asked to end at random moments: \(endings)")
    }
}
