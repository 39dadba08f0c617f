// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "track",
    platforms: [.macOS(.v12)],
    dependencies: [.package(path: "../../../../sdk-ffi/swift")],
    targets: [.executableTarget(name: "track", dependencies: [.product(name: "Refrain", package: "swift")])]
)
