// swift-tools-version: 6.0
import Foundation
import PackageDescription

// `cargo xtask swift` writes the library and its bindings there; nothing generated is kept in the source tree.
let native = "native"

// The package manager says only that a path is invalid.
if !FileManager.default.fileExists(atPath: "\(Context.packageDirectory)/\(native)/CRefrain") {
    let hint = "the native library is not built: run `cargo xtask swift` in the checkout of Refrain first\n"
    FileHandle.standardError.write(Data(hint.utf8))
    exit(1)
}

let package = Package(
    name: "Refrain",
    platforms: [.iOS(.v15), .macOS(.v12), .tvOS(.v15), .watchOS(.v8)],
    products: [
        .library(name: "Refrain", targets: ["Refrain"]),
        .library(name: "RefrainTesting", targets: ["RefrainTesting"]),
    ],
    targets: [
        .target(name: "Refrain", dependencies: ["RefrainFFI", "CRefrain"]),
        .target(name: "RefrainTesting", dependencies: ["Refrain"]),
        .target(
            name: "RefrainFFI",
            dependencies: ["CRefrain"],
            path: "\(native)/RefrainFFI",
            swiftSettings: [.swiftLanguageMode(.v5)],  // generated, and not written for 6
            linkerSettings: [.unsafeFlags(["-L\(Context.packageDirectory)/\(native)/lib"])]
        ),
        .systemLibrary(name: "CRefrain", path: "\(native)/CRefrain"),
        .testTarget(
            name: "RefrainTests",
            dependencies: ["Refrain", "RefrainTesting", "Elsewhere", "ScenarioClient"]
        ),
        .executableTarget(name: "Elsewhere", dependencies: ["Refrain"], path: "Tests/Elsewhere"),
        .executableTarget(name: "ScenarioClient", dependencies: ["Refrain"], path: "Tests/ScenarioClient"),
    ]
)
