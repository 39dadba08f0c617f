// Another process on the same folder, for the tests: `Elsewhere ENDPOINT FOLDER COMMAND`. Prints what the test asks
// about.

import Foundation
import Refrain

let arguments = CommandLine.arguments
let refrain = try Refrain.start(token: "project-token") {
    $0.endpoint = arguments[1]
    $0.dataDir = URL(fileURLWithPath: arguments[2], isDirectory: true)
    $0.defaultConsent = .granted
    $0.flushInterval = 3600
}
switch arguments[3] {
case "optOut":
    try await refrain.optOut()
case "look":
    refrain.track("at once")  // may be held until the folder has been read
    print(refrain.hasOptedOut(), refrain.consent().verdict, refrain.deviceId ?? "nil", refrain.track("after"))
    refrain.reset()
    await refrain.flush(timeout: 30)
case "killed":
    refrain.track("kept")
    await refrain.flush(timeout: 30)
    kill(getpid(), SIGKILL)
case "refused":
    refrain.track("Bought", ["item": "umbrella"])
    await refrain.flush(timeout: 30)
    // It is logged by a thread of its own; the test has given us a file.
    var log = stat()
    repeat {
        fstat(2, &log)
        try await Task.sleep(for: .milliseconds(1))
    } while log.st_size == 0
default:
    fatalError("no such command: \(arguments[3])")
}
await refrain.close(timeout: 30)
