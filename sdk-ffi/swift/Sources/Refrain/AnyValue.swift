import Foundation

extension Refrain.Value {
    /// A value whose type is known only at run time, such as a result of `JSONSerialization`. What JSON cannot
    /// represent becomes ``unsupported(kind:)``. To turn a whole `[String: Any]` into properties, use
    /// `mapValues(Refrain.Value.init(any:))`.
    public init(any value: Any?) {
        self.init(any: value, depth: 0)
    }

    private init(any value: Any?, depth: Int) {
        // What is deeper is refused when it is recorded; an object may contain itself.
        guard depth <= JSONText.maxDepth else {
            self = .array([])
            return
        }
        switch value {
        case nil, is NSNull:
            self = .null
        // Before the numbers that it is one of.
        case let number as NSDecimalNumber:
            self = .decimal(number.decimalValue)
        #if canImport(Darwin)
            case let number as NSNumber:
                self = Self(number)
        #endif
        case let value as any RefrainValue:
            self = value.refrainValue
        case let value as [String: Any?]:
            self = .object(value.mapValues { Self(any: $0, depth: depth + 1) })
        case let value as [Any?]:
            self = .array(value.map { Self(any: $0, depth: depth + 1) })
        case let value as NSNumber:
            self = Self(value)
        case let value as NSString:
            self = .string(value.description)
        case let value as NSDate:
            self = .date(Date(timeIntervalSinceReferenceDate: value.timeIntervalSinceReferenceDate))
        case let value?:
            let mirror = Mirror(reflecting: value)
            if mirror.displayStyle == .optional {
                self = mirror.children.first.map { Self(any: $0.value, depth: depth + 1) } ?? .null
            } else {
                self = .unsupported(kind: "\(type(of: value))")
            }
        }
    }

    /// Objective-C has one type for truth values and numbers.
    private init(_ number: NSNumber) {
        switch String(cString: number.objCType) {
        case "c" where number === NSNumber(value: true) || number === NSNumber(value: false):
            self = .bool(number.boolValue)
        case "d": self = .double(number.doubleValue)
        case "f": self = number.floatValue.refrainValue
        case "Q": self = .uint(number.uint64Value)
        default: self = .int(number.int64Value)
        }
    }
}
