import Glibc
import JSONText

/// How long it takes from a diff to a patch beyond what the compilers take, and how large
/// the patch is: of the fixes that `make corpus` has built, which it leaves ready to be
/// built again.
enum FixMeasurement {
    static func run(runs: Int, tools: Tools, report: Report) throws {
        report.heading("From the diff to the patch, without the compilers: median")
        var rows = [["", "ms", "patch, bytes", "changed functions, bytes"]]
        var slowest = 0.0
        for folder in try folders(tools.corpus) {
            var time = Sample()
            var sizes: [String] = []
            for run in 0..<runs {
                report.progress("\(folder), \(run) of \(runs)")
                let patch = tools.scratch + "/fix.hpatch"
                let built = try Run([folder + "/build", "--format", "json", "-o", patch])
                let found = try figures(built.output)
                time.add(Double(found.milliseconds))
                var status = stat()
                guard unsafe stat(patch, &status) == 0 else {
                    throw BenchError(errno: errno, "looking at \(patch)")
                }
                sizes = ["\(status.st_size)", "\(found.functionBytes)"]
            }
            slowest = max(slowest, time.median)
            let name = folder.split(separator: "/").last.map(String.init) ?? folder
            rows.append([name, time.median.fixed(0)] + sizes)
        }
        guard rows.count > 1 else { return report.line("not measured: 'make corpus' comes first") }
        report.table(rows)
        report.target(
            "from the diff to the patch", "\(slowest.fixed(0)) ms", atMost: "2000 ms",
            holds: slowest <= 2000)
    }

    /// Of the cases that a patch was made for, in the order of their names.
    private static func folders(_ corpus: String) throws -> [String] {
        guard unsafe access(corpus, F_OK) == 0 else { return [] }
        let names = try Run(["ls", corpus]).output.split(separator: "\n")
        return names.map { "\(corpus)/\($0)" }.filter { folder in
            // Without what is built already, it would take minutes.
            unsafe access(folder + "/build", X_OK) == 0
                && access(folder + "/work/stamp", F_OK) == 0
                && access(folder + "/fix.hpatch", F_OK) == 0
        }
    }

    private static func figures(
        _ output: String
    ) throws -> (milliseconds: Int64, functionBytes: Int64) {
        do {
            let document = JSONCursor(try JSONValue(parsing: output))
            let functions = try document.member("patch").member("functions").elements()
            return (
                try document.member("comparedMilliseconds").integer(),
                try functions.reduce(0) { $0 + (try $1.member("size").integer()) }
            )
        } catch let error as JSONError {
            throw BenchError("\(error) in what 'build' has printed")
        }
    }
}
