import Foundation
import Testing

private let scenarios = URL(fileURLWithPath: #filePath).appendingPathComponent("../../../../../../tests/scenarios")
    .standardizedFileURL

/// A file, by its name in the folder.
struct ScenarioFile: Sendable, CustomTestStringConvertible {
    let name: String

    var testDescription: String { name }

    static let all = below("") + below("must-fail/")

    private static func below(_ folder: String) -> [ScenarioFile] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: scenarios.appendingPathComponent(folder).path)
        return (names ?? []).filter { $0.hasSuffix(".json") }.sorted().map { ScenarioFile(name: folder + $0) }
    }
}

/// The scenarios of `tests/scenarios`. One after the other: each has a server and processes of its own.
@Suite(.serialized) struct ScenarioTests {
    @Test func thereAreSome() {
        #expect(ScenarioFile.all.contains { $0.name.hasPrefix("must-fail/") })
        #expect(ScenarioFile.all.contains { !$0.name.hasPrefix("must-fail/") })
    }

    @Test(arguments: ScenarioFile.all) func scenario(file: ScenarioFile) async throws {
        let name = file.name.replacingOccurrences(of: ".json", with: "")
        do {
            let scenario = try Scenario(scenarios.appendingPathComponent(file.name))
            if let reason = scenario.notHere {
                print("scenario \(name) ... not on this host: \(reason)")
                return
            }
            try await scenario.play()
            print("scenario \(name) ... ok")
        } catch {
            print("scenario \(name) ... FAILED")
            throw error
        }
    }
}
