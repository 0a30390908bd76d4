import JSONText

/// A command, as the argument parser describes it (`--experimental-dump-help`).
struct CommandDescription {
    let name: String
    let abstract: String
    let discussion: String
    let arguments: [Argument]
    let commands: [CommandDescription]

    init(_ description: JSONCursor) throws(JSONError) {
        name = try description.member("commandName").string()
        abstract = try description.optionalMember("abstract")?.string() ?? ""
        discussion = try description.optionalMember("discussion")?.string() ?? ""
        var arguments: [Argument] = []
        for argument in try description.optionalMember("arguments")?.elements() ?? []
        where try argument.member("shouldDisplay").bool() {
            arguments.append(try Argument(argument))
        }
        self.arguments = arguments
        var commands: [CommandDescription] = []
        for command in try description.optionalMember("subcommands")?.elements() ?? []
        where try command.member("shouldDisplay").bool() {
            commands.append(try CommandDescription(command))
        }
        self.commands = commands
    }

    /// An option, a flag, or something given by its place.
    struct Argument {
        enum Kind: String { case positional, option, flag }

        let kind: Kind
        /// With their hyphens: `-o`, `--output`. None where it is given by its place.
        let names: [String]
        let valueName: String
        let abstract: String
        let isOptional: Bool
        let isRepeating: Bool
        let values: [String]
        let defaultValue: String?

        init(_ argument: JSONCursor) throws(JSONError) {
            let kind = try argument.member("kind")
            guard let known = Kind(rawValue: try kind.string()) else {
                throw kind.mismatch("the kind of an argument")
            }
            self.kind = known
            var names: [String] = []
            for name in try argument.optionalMember("names")?.elements() ?? [] {
                let isLong = try name.member("kind").string() == "long"
                names.append((isLong ? "--" : "-") + (try name.member("name").string()))
            }
            // Short ones first, as people expect them.
            self.names = names.sorted { $0.count < $1.count }
            valueName = try argument.optionalMember("valueName")?.string() ?? ""
            abstract = try argument.optionalMember("abstract")?.string() ?? ""
            isOptional = try argument.member("isOptional").bool()
            isRepeating = try argument.member("isRepeating").bool()
            var values: [String] = []
            for value in try argument.optionalMember("allValues")?.elements() ?? [] {
                values.append(try value.string())
            }
            self.values = values
            defaultValue = try argument.optionalMember("defaultValue")?.string()
        }
    }
}
