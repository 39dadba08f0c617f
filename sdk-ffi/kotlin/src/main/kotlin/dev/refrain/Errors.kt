package dev.refrain

/** A setting has a value that cannot work. */
public class ConfigException internal constructor(message: String) : IllegalArgumentException(message)

/** A consent decision that could not be fully carried out. */
public class ConsentException internal constructor(
    /** What went wrong. */
    public val code: Code,
    message: String,
) : Exception(message) {
    /** The ways in which a decision can fail. */
    public enum class Code {
        /** Nothing durable was written. A refusal holds for this process all the same. */
        NOT_RECORDED,

        /** The person has refused elsewhere since this grant was given, and the refusal counts. */
        OVERRULED,

        /** The refusal is durable, but a sender did not release its request in time. */
        NOT_FENCED,

        /** The refusal is durable, but some data could not be deleted. */
        NOT_PURGED,
    }
}
