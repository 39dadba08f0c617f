import Refrain

/// An event as it was sent.
public struct SentEvent: Sendable, Hashable {
    /// Such as `Bought`.
    public let name: String
    /// Those of the app and of the client, such as `$device_id`.
    public let properties: [String: Refrain.Value]

    init(_ members: [String: Refrain.Value]) {
        if case let .string(text)? = members["event"] { name = text } else { name = "" }
        properties = members["properties"]?.members ?? [:]
    }
}
