// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "quickstart",
    platforms: [.macOS(.v12)],
    dependencies: [.package(path: "../../../sdk-ffi/swift")],
    targets: [.executableTarget(name: "quickstart", dependencies: [.product(name: "Refrain", package: "swift")])]
)
