/// `hotpatch-COMMAND(1)`.
struct CommandPage {
    let text: String

    init(_ command: CommandDescription, date: PageDate, part: String) {
        text =
            pageHead("hotpatch-\(command.name)", command.abstract, date)
            + ".Sh SYNOPSIS\n.Nm hotpatch\n.Cm \(Mdoc.escaped(command.name))\n"
            + command.arguments.inOrderOfUse.map(\.synopsis).joined()
            + ".Sh DESCRIPTION\n" + Mdoc.paragraphs(command.abstract)
            + (command.discussion.isEmpty ? "" : ".Pp\n" + Mdoc.paragraphs(command.discussion))
            + ".Sh OPTIONS\n.Bl -tag -width Ds\n"
            + command.arguments.map(\.item).joined() + ".El\n"
            + ".Sh EXIT STATUS\nAs in\n.Xr hotpatch 1 .\n" + part
            + ".Sh SEE ALSO\n.Xr hotpatch 1 ,\n.Xr hpatch 5 ,\n.Xr hotpatch.service 8\n"
    }
}

/// `hotpatch(1)`, with the list of the commands.
struct ToolPage {
    let text: String

    init(
        _ tool: CommandDescription, commands: [CommandDescription], date: PageDate, part: String
    ) {
        let list = commands.map {
            ".It Xr hotpatch-\($0.name) 1\n" + Mdoc.paragraphs($0.abstract)
        }
        text =
            pageHead("hotpatch", tool.abstract, date)
            + ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar argument ...\n.Nm\n.Fl \\-version\n"
            + ".Sh DESCRIPTION\n" + Mdoc.paragraphs(tool.discussion)
            + ".Pp\nThe commands:\n.Bl -tag -width Ds\n" + list.joined() + ".El\n" + part
    }
}

private func pageHead(_ name: String, _ abstract: String, _ date: PageDate) -> String {
    var purpose = abstract
    if purpose.hasSuffix(".") { purpose.removeLast() }
    purpose = purpose.prefix(1).lowercased() + purpose.dropFirst()
    return """
        .\\" Made by `make man` from the tool's own help and packaging/man.
        .Dd \(date.text)
        .Dt \(name.uppercased()) 1
        .Os Linux
        .Sh NAME
        .Nm \(name)
        .Nd \(Mdoc.escaped(purpose))

        """
}

extension [CommandDescription.Argument] {
    /// What must be given comes first, options before places.
    fileprivate var inOrderOfUse: [CommandDescription.Argument] {
        filter { !$0.isOptional && $0.kind != .positional }
            + filter { $0.kind == .positional }
            + filter { $0.isOptional && $0.kind != .positional && !$0.isOfEveryCommand }
    }
}

extension CommandDescription.Argument {
    /// `--help` and `--version` take no room in the synopsis.
    fileprivate var isOfEveryCommand: Bool {
        names.contains("--help") || names.contains("--version")
    }

    private var value: String {
        kind == .flag ? "" : "Ar \(Mdoc.escaped(valueName))"
    }

    fileprivate var synopsis: String {
        let name = Mdoc.names(Array(names.prefix(1)))
        let parts = [name, value, isRepeating ? "..." : ""].filter { !$0.isEmpty }
        return (isOptional ? ".Op " : ".") + parts.joined(separator: " ") + "\n"
    }

    fileprivate var item: String {
        let head = [Mdoc.names(names), value].filter { !$0.isEmpty }.joined(separator: " ")
        var text = ".It \(head)\n" + Mdoc.paragraphs(abstract)
        if !values.isEmpty {
            text +=
                "One of " + values.map { "\\(aq\(Mdoc.escaped($0))\\(aq" }.joined(separator: ", ")
            text += ".\n"
        }
        if let defaultValue, !defaultValue.isEmpty, kind != .flag {
            text += "Unless given, \(Mdoc.escaped(defaultValue)).\n"
        }
        return text
    }
}
