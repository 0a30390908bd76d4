import Glibc
import SystemPackage
import TestSupport

// What `make corpus` runs:
//   corpus SCRIPTS CACHE TABLE [CASE...]
// Tries all cases of SCRIPTS/cases, or those named, keeps what it makes in CACHE, and
// writes the table of all that were ever tried there. Ends with 1 where one of them is
// not as it is expected to be.

let arguments = CommandLine.arguments.map { FilePath($0) }
guard arguments.count >= 4 else {
    print("usage: corpus SCRIPTS CACHE TABLE [CASE...]")
    exit(64)
}
let cases = try Case.all(in: arguments[1].appending("cases"))
let names = Set(CommandLine.arguments.dropFirst(4))
if let unknown = names.subtracting(cases.map(\.name)).min() {
    print("there is no case '\(unknown)', but \(cases.map(\.name).joined(separator: ", "))")
    exit(64)
}
let workshop = try Workshop(
    cache: arguments[2], scripts: arguments[1], hotpatch: BuiltProduct.path("hotpatch"))
let table = CorpusTable(cache: arguments[2])
var isFine = true
for trial in cases where names.isEmpty || names.contains(trial.name) {
    let outcome = Trial(of: trial, in: workshop).run()
    for fault in outcome.faults { progress("\(trial.name): NOT as expected: \(fault)") }
    if outcome.faults.isEmpty { progress("\(trial.name): as expected") }
    isFine = isFine && outcome.faults.isEmpty
    try table.keep(outcome, of: trial)
    try table.write(cases, to: arguments[3])
}
exit(isFine ? 0 : 1)
