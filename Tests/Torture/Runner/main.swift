import Glibc
import TortureEngine

// What `make torture` runs:
//   torture KILLS SEED
// Kills the worker so often, in batches of 50, each with a victim of its own and
// a seed that follows the first, and prints what was seen. Ends with 1 where
// anything was seen that must not be.

let arguments = CommandLine.arguments
guard arguments.count == 3, let kills = Int(arguments[1]), let seed = UInt64(arguments[2]) else {
    print("usage: torture KILLS SEED")
    exit(64)
}
let batchSize = 50
let programs = try Programs()
var sum = Tally()
var violations: [Violation] = []
let start = ContinuousClock.now
for batch in 0..<UInt64((kills + batchSize - 1) / batchSize) {
    let count = min(batchSize, kills - Int(batch) * batchSize)
    let began = ContinuousClock.now
    var ending = "fine"
    var torturer = try Torturer(programs, seed: seed + batch)
    do throws(Violation) { try torturer.run(kills: count) } catch {
        violations.append(error)
        ending = "\(error.kind.rawValue): \(error)"
    }
    let tally = torturer.tally
    sum.add(tally)
    print(
        "batch \(batch), seed \(seed + batch): \(tally.kills) kills in \(ContinuousClock.now - began), \(ending)"
    )
    fflush(nil)
}
print("\n\(sum.text)")
for kind in Violation.Kind.allCases {
    print("\(kind.rawValue): \(violations.count { $0.kind == kind })")
}
print("seed \(seed), \(ContinuousClock.now - start)")
exit(violations.isEmpty ? 0 : 1)
