// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]
let strictC: [CSetting] = [
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-std=gnu17", "-Wall", "-Wextra", "-Wconversion", "-Wnullability-completeness"]),
]

/// A Debian library, found by pkg-config; `make deps` installs it.
func debian(_ module: String, pkgConfig: String, package: String) -> Target {
    .systemLibrary(
        name: module, path: "CModules/\(module)", pkgConfig: pkgConfig, providers: [.apt([package])]
    )
}

/// A thin C interface, where Swift cannot call the library or the kernel itself.
func shim(_ name: String, over libraries: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: libraries, path: "CModules/\(name)", cSettings: strictC)
}

func room(
    _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []
) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "hotpatch",
    products: [
        .executable(name: "hotpatch", targets: ["hotpatch"]),
        .library(name: "HotpatchKit", targets: ["HotpatchKit"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        debian("LibELF", pkgConfig: "libelf", package: "libelf-dev"),
        debian("LibCapstone", pkgConfig: "capstone", package: "libcapstone-dev"),
        debian("LibDW", pkgConfig: "libdw", package: "libdw-dev"),
        debian("LibSodium", pkgConfig: "libsodium", package: "libsodium-dev"),
        debian("LibJansson", pkgConfig: "jansson", package: "libjansson-dev"),

        // The rooms, in the order in which data travels. A room imports only
        // rooms above it.
        shim("CELF", over: ["LibELF"]),
        shim("CDecoder", over: ["LibCapstone"]),
        shim("CDebugInfo", over: ["LibDW"]),
        shim("CDigest", over: ["LibSodium"]),
        shim("CJSON", over: ["LibJansson"]),
        shim("CLinuxTrace"),
        shim("CRunOnce"),
        shim("CTrials"),
        shim("CFanotify"),
        shim("CUnwind", over: ["LibDW"]),
        room("Addresses", []),
        room("Threads", ["CLinuxTrace", system]),
        room("JSONText", ["CJSON"]),
        room("ELFImage", ["Addresses", "Threads", "CELF", system]),
        room("Patchability", ["Addresses", "Threads", "ELFImage", "CDecoder"]),
        room(
            "ObjectDiff",
            ["Addresses", "ELFImage", "Patchability", "CDebugInfo", system]),
        room("PatchFile", ["Addresses", "JSONText", "ELFImage", "CDigest", "CELF", system]),
        room(
            "Authoring",
            [
                "Addresses", "Threads", "ELFImage", "Patchability", "ObjectDiff", "PatchFile",
                "CDecoder", "CDebugInfo", "CLinuxTrace", system,
            ], resources: [.embedInCode("hotpatch.h"), .embedInCode("hotpatch_shadow.c")]),
        room("PatchStore", ["Addresses", "JSONText", "ELFImage", "PatchFile", system]),
        room(
            "LiveProcess", ["Addresses", "Threads", "ELFImage", "CLinuxTrace", system, logging]),
        room("Diagnosis", ["JSONText", "PatchStore", "CTrials", system]),
        room(
            "PatchLinker",
            [
                "Addresses", "JSONText", "ELFImage", "Patchability", "PatchFile", "LiveProcess",
                "CRunOnce",
            ]),
        room("Quiescence", ["Addresses", "ELFImage", "LiveProcess", "CUnwind", system]),
        room(
            "Switchover",
            [
                "Addresses", "JSONText", "ELFImage", "Patchability", "PatchFile", "LiveProcess",
                "PatchStore", "PatchLinker", "Quiescence", system, logging,
            ]),
        room(
            "Startup",
            [
                "CLinuxTrace", "Addresses", "ELFImage", "PatchFile", "PatchStore", "LiveProcess",
                "Switchover", system,
            ]),
        room(
            "Watching",
            [
                "Addresses", "JSONText", "ELFImage", "PatchFile", "PatchStore", "LiveProcess",
                "PatchLinker", "Switchover", "Startup", "Threads", "CFanotify", "CLinuxTrace",
                system, logging,
            ]),
        room(
            "Coverage",
            [
                "Addresses", "PatchFile", "LiveProcess", "PatchLinker", "PatchStore", "Switchover",
                "Watching", system,
            ]),
        room(
            "HotpatchKit",
            [
                "Addresses", "Threads", "ELFImage", "Patchability", "PatchFile", "Authoring",
                "LiveProcess", "PatchLinker", "PatchStore", "Quiescence", "Switchover", "Startup",
                "Watching", "Coverage", "Diagnosis",
            ]),
        .executableTarget(
            name: "hotpatch",
            dependencies: ["HotpatchKit", "JSONText", arguments, system, logging],
            swiftSettings: strict),

        // Makes the manual pages from what the tool says of itself.
        .executableTarget(
            name: "manual", dependencies: ["JSONText", arguments, system],
            path: "packaging/manual", swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["CLinuxTrace", "Threads", system],
            path: "Tests/TestSupport",
            swiftSettings: strict),
        // What `make bench` runs; it compiles the C victims itself.
        .executableTarget(
            name: "bench", dependencies: ["JSONText", arguments], path: "Benchmarks",
            exclude: ["victims"],
            swiftSettings: strict),

        tests("AddressesTests", ["Addresses"]),
        tests(
            "QuiescenceTests",
            [
                "Addresses", "CUnwind", "ELFImage", "LiveProcess", "Quiescence", "TestSupport",
                system,
            ]),
        tests(
            "AuthoringTests",
            [
                "Addresses", "Authoring", "ELFImage", "ObjectDiff", "PatchFile", "Patchability",
                "TestSupport", system,
            ]),
        tests(
            "ObjectDiffTests",
            ["Addresses", "ELFImage", "ObjectDiff", "Patchability", "TestSupport", system]),
        tests(
            "SwitchoverTests",
            [
                "Addresses", "ELFImage", "LiveProcess", "PatchFile", "Switchover", "TestSupport",
                system,
            ]),
        tests(
            "StartupTests",
            [
                "Authoring", "LiveProcess", "PatchFile", "Startup", "Switchover", "TestSupport",
                system,
            ]),
        tests(
            "WatchingTests",
            [
                "JSONText", "LiveProcess", "PatchFile", "PatchStore", "TestSupport", "Watching",
                "hotpatch", system,
            ]),
        tests(
            "PatchLinkerTests",
            [
                "Addresses", "JSONText", "ELFImage", "LiveProcess", "PatchFile", "PatchLinker",
                "Patchability", "TestSupport", system,
            ]),
        // What `make test-real` runs; build.sh fetches and builds the programs.
        tests(
            "RealProgramsTests",
            [
                "Addresses", "ELFImage", "LiveProcess", "PatchFile", "PatchLinker", "Patchability",
                "Switchover", "TestSupport", system,
            ],
            exclude: ["build.sh", "nginx.conf", "nginx.requests", "redis.commands", "sqlite3.sql"]),
        tests("JSONTextTests", ["JSONText"]),
        tests("PackagingTests", ["TestSupport", "hotpatch", "manual", system]),
        tests(
            "DiagnosisTests",
            ["Diagnosis", "JSONText", "PatchStore", "TestSupport", "hotpatch", system]),
        tests(
            "PatchFileTests",
            ["Addresses", "ELFImage", "JSONText", "PatchFile", "TestSupport", system]),
        tests(
            "PatchStoreTests",
            [
                "Addresses", "ELFImage", "JSONText", "PatchFile", "PatchStore", "TestSupport",
                "Threads", "hotpatch", system,
            ]),
        .executableTarget(
            name: "live-process-exerciser", dependencies: ["Addresses", "LiveProcess"],
            path: "Tests/LiveProcessExerciser", swiftSettings: strict),
        tests(
            "LiveProcessTests",
            [
                "Addresses", "ELFImage", "LiveProcess", "TestSupport", "live-process-exerciser",
                system,
            ]),
        // Kills a worker again and again and looks at what it leaves: a part of it in
        // the tests, all of it by `make torture`.
        shim("CTorture"),
        .executableTarget(
            name: "torture-worker",
            dependencies: [
                "CTorture", "LiveProcess", "PatchFile", "Switchover", "TestSupport", logging,
                system,
            ],
            path: "Tests/Torture/Worker", swiftSettings: strict),
        .target(
            name: "TortureEngine",
            dependencies: [
                "Addresses", "CTorture", "LiveProcess", "PatchLinker", "Switchover", "TestSupport",
                system,
            ],
            path: "Tests/Torture/Engine", swiftSettings: strict),
        .executableTarget(
            name: "torture",
            dependencies: ["TortureEngine", "torture-worker", "hotpatch"],
            path: "Tests/Torture/Runner", swiftSettings: strict),
        tests(
            "TortureTests",
            [
                "LiveProcess", "Switchover", "TestSupport", "TortureEngine", "hotpatch",
                "torture-worker", system,
            ]),
        // What `make corpus` runs: fixes of Debian's packages, tried on their daemons.
        shim("CEntries"),
        .executableTarget(
            name: "corpus",
            dependencies: ["CEntries", "JSONText", "TestSupport", "hotpatch", system],
            path: "Tests/Corpus/Runner", swiftSettings: strict),
        tests(
            "ELFImageTests", ["Addresses", "ELFImage", "Patchability", "TestSupport", system]),
        tests(
            "PatchabilityTests", ["Addresses", "ELFImage", "Patchability", "TestSupport", system]),
        tests(
            "EndToEndTests",
            [
                "Addresses", "ELFImage", "JSONText", "LiveProcess", "PatchFile", "Switchover",
                "TestSupport", "hotpatch", system,
            ]),
    ]
)
