import Foundation

/// Runs a call that waits for the disk or the network, to its end even where the task is cancelled. It gets a thread
/// of its own: those of tasks and dispatch queues are few, and one that waits keeps others from running.
package func waiting<T: Sendable>(_ call: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { continuation in
        let thread = Thread { continuation.resume(returning: call()) }
        thread.name = "refrain-waiting"
        thread.start()
    }
}
