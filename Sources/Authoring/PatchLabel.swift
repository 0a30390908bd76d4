import PatchFile
import SystemPackage

/// What a patch says of itself to people and to other patches.
public struct PatchLabel: Sendable {
    public var name: String
    public var version = ""
    public var description = ""
    public var references: [String] = []
    /// Whether the patch takes the place of every earlier one of its base.
    public var isCumulative = false
    /// Patches of the same base that must be installed before this one.
    public var requires: [PatchRequirement] = []
    /// Names of patches of the same base whose place it takes.
    public var supersedes: [String] = []
    /// Later builds of the base that contain the fix.
    public var fixedIn: [BaseIdentity] = []

    public init(name: String) { self.name = name }

    /// Of a patch in that file: called as the file is, without the suffix.
    public init(for output: FilePath) {
        self.init(name: output.lastComponent?.stem ?? output.string)
    }

    /// The manifest of a patch that says this, and does that.
    func manifest(
        base: Base, functions: [ReplacedFunction], baseSymbols: [BaseSymbol],
        imports: [ImportedSymbol], runsOnce: RunsOnce
    ) -> PatchManifest {
        PatchManifest(
            name: name, version: version, description: description, references: references,
            isCumulative: isCumulative, requires: requires, supersedes: supersedes,
            fixedIn: fixedIn, base: base, functions: functions, baseSymbols: baseSymbols,
            imports: imports, runsOnce: runsOnce)
    }
}
