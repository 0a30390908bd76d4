import ArgumentParser
import HotpatchKit
import SystemPackage

/// `--state-dir`, for commands that read or write the store or its log.
struct StateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Where installed patches and the log are, in place of $HOTPATCH_STATE_DIR or \
            \(Locations.standard.state).
            """, valueName: "DIR"),
        completion: .directory)
    var stateDir: String?

    var locations: Locations {
        var locations = Locations()
        if let stateDir { locations.state = Locations.absolute(FilePath(stateDir)) }
        return locations
    }
}
