import Foundation
import Refrain

private let host = "swift"
private let hosts: Set = ["native", "browser", "node", "python", "kotlin", "swift"]
private let rules = Set((1...15).map { Refrain.Value.string("C\($0)") })

/// A file of `tests/scenarios`.
struct Scenario {
    private let steps: [Refrain.Value]
    private let failsAt: Set<Int>
    /// Why it is not played here; `nil` if it is.
    let notHere: String?

    init(_ file: URL) throws {
        let all = try said(Data(contentsOf: file))
        let members = try all.members(["name", "rules", "not_on", "fails_at", "steps"])
        if try all["name"].string().isEmpty { throw Unplayable("it has no name") }
        guard try Set(all["rules"].list()).isSubset(of: rules) else {
            throw Unplayable("there are no such rules: \(shown(all["rules"]))")
        }
        let notOn = try members["not_on"]?.members(hosts)
        notHere = try notOn?[host]?.string()
        steps = try all["steps"].list()
        failsAt = Set(try members["fails_at"]?.list().map { try $0.count() } ?? [])
        guard failsAt.isSubset(of: steps.indices) else { throw Unplayable("there are no such steps: \(failsAt)") }
    }

    func play() async throws {
        let world = try ScenarioWorld()
        for (at, step) in steps.enumerated() {
            let mustFail = failsAt.contains(at)
            do {
                try await world.play(step)
            } catch {
                if mustFail { continue }
                throw Unplayable("step \(at): \(shown(step)): \(error)")
            }
            if mustFail { throw Unplayable("step \(at) must fail, and did not: \(shown(step))") }
        }
    }
}
