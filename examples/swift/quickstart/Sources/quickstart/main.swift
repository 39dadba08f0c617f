// Records, objects, and shows that the "no" holds.
//
//     cargo run -p refrain-mock -- serve          # in another terminal
//     cargo xtask swift
//     swift run --package-path examples/swift/quickstart quickstart [http://127.0.0.1:8787]

import Foundation
import Refrain

let endpoint = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "http://127.0.0.1:8787"
let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
defer { try? FileManager.default.removeItem(at: folder) }

func start() throws -> Refrain {
    try Refrain.start(token: "demo-token") {
        $0.endpoint = endpoint
        $0.dataDir = folder
    }
}

let refrain = try start()
// Nobody has decided yet: the call waits in memory, and nothing is stored or sent.
print("before a decision: ", refrain.track("Opened the shop"))

try await refrain.optIn()
refrain.identify("ada")
refrain.register(["plan": "pro"])
print("after a yes:       ", refrain.track("Bought", ["item": "umbrella", "price": 12.5]))
guard await refrain.flush() else {
    print("nothing arrived at \(endpoint): is the mock server running?")
    exit(1)
}
print("delivered:         ", refrain.stats().delivered, "records")

try await refrain.optOut()
print("after a no:        ", refrain.track("Bought", ["item": "hat"]))
await refrain.close()

// The next start remembers, and only the choice is left in the folder.
let later = try start()
print("the next start:    ", later.consent().sentence)
print("left in the folder:", later.audit().files.map { "\($0.name) (\($0.kind))" }.joined(separator: ", "))
await later.close()
