# Runs a program in a Debian that is in a folder: DEBIAN PROJECT TARGET FOLDER PROGRAM [ARGUMENT]... It sees the project
# and cargo's output folder where they are. The mounts are those of the process that calls this, and end with it.
set -eu
debian=$1 project=$2 target=$3 folder=$4
shift 4
mount -t proc proc "$debian/proc"
for seen in "$project" "$target"; do
    mkdir -p "$debian$seen"
    mount --bind "$seen" "$debian$seen"
done
# Debian's Swift does not find its own libraries.
export LD_LIBRARY_PATH=/usr/libexec/swift/lib/swift/linux:/usr/libexec/swift/lib/swift/host
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/tmp
exec chroot "$debian" sh -euc 'cd "$0"; exec "$@"' "$folder" "$@"
