import FuzzSupport
import Glibc

/// Feeds the ELF reader and the judge of functions with broken objects.
@main
struct FuzzELF {
    static func main() throws {
        guard let command = FuzzCommand(arguments: CommandLine.arguments) else { exit(64) }
        try command.run(places: { try ELFExercise.interestingPlaces(of: $0) }) {
            ELFExercise.run($0)
        }
    }
}
