import Foundation

#if canImport(os)
    import os
#endif

/// The package's log.
func log(_ text: String) {
    #if canImport(os)
        Logger(subsystem: "dev.refrain", category: "refrain").warning("\(text, privacy: .public)")
    #else
        write(text, to: .standardError)
    #endif
}

/// A line on standard error, if it takes one: what cannot be written, for want of room or of a reader, is no reason to
/// end the app. Where a signal does that, it is the app's to be ignored.
func write(_ text: String, to file: FileHandle) {
    try? file.write(contentsOf: Data("refrain: \(text)\n".utf8))
}

/// Those of one client or transport. Each is said once: what is wrong may be so at every call and every retry.
final class Warnings: @unchecked Sendable {
    private let lock = NSLock()
    private var said: Set<String> = []
    private let log: @Sendable (String) -> Void

    init(_ log: @escaping @Sendable (String) -> Void = log(_:)) {
        self.log = log
    }

    func say(_ text: String) {
        if lock.withLock({ said.insert(text).inserted }) { log(text) }
    }
}
