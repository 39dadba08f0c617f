package dev.refrain

/** A setting that cannot work. */
public class ConfigException internal constructor(message: String) : IllegalArgumentException(message)

/** A decision that did not end as it should. */
public class ConsentException internal constructor(
    /** What is not as it should be. */
    public val code: Code,
    message: String,
) : Exception(message) {
    /** The ways in which a decision can fail. */
    public enum class Code {
        /** Nothing durable was written; a refusal holds for this process all the same. */
        NOT_RECORDED,

        /** A refusal was given elsewhere after this grant, and counts. */
        OVERRULED,

        /** The refusal is durable, but a sender did not let go in time. */
        NOT_FENCED,

        /** The refusal is durable, but some data could not be deleted. */
        NOT_PURGED,
    }
}
