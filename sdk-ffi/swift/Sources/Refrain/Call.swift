/// The numbers of `refrain_call`.
enum Call: UInt8 {
    case track, identify, reset, register, registerOnce, registerForSession, unregister, switchUser
    case alias, timeEvent, profile, group, setGroup, addGroup, removeGroup
}
