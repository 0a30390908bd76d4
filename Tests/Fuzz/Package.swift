// swift-tools-version: 6.2
import PackageDescription

// A package of its own: everything in it, the rooms included, is built for
// libFuzzer (`make fuzz`), which the tool itself must never be.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6), .strictMemorySafety(), .treatAllWarnings(as: .error),
]

func fuzzTarget(_ name: String) -> Target {
    .executableTarget(
        name: name,
        dependencies: [.product(name: "HotpatchKit", package: "hotpatch"), "FuzzDriver"],
        swiftSettings: strict,
        // gold, the default, fails on the debug information of instrumented code.
        linkerSettings: [.unsafeFlags(["-use-ld=lld"])])
}

let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "hotpatch", path: "../..")],
    targets: [
        .target(name: "FuzzDriver", swiftSettings: strict),
        fuzzTarget("FuzzELF"),
        fuzzTarget("FuzzPatch"),
    ]
)
