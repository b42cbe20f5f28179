# shellcheck shell=bash
# Shared by the install scripts. Source it; it sets the cache folder and three words.
#
# Everything lands below $TIDEMILL_CACHE (default: .cache in the repository, which git ignores),
# but for Debian packages. Each script may be run again at any time: what is there stays.
set -euo pipefail

TIDEMILL_REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TIDEMILL_CACHE=${TIDEMILL_CACHE:-$TIDEMILL_REPO/.cache}
mkdir -p "$TIDEMILL_CACHE"
TIDEMILL_CACHE=$(cd "$TIDEMILL_CACHE" && pwd)
export TIDEMILL_CACHE

install_name=$(basename "$0" .sh)

# say WORDS..: one line of progress.
say() { printf '%s: %s\n' "$install_name" "$*"; }

# die WORDS..: the script's failure, with its reason, on stderr.
die() { printf '%s: FAILED: %s\n' "$install_name" "$*" >&2; exit 1; }

# need PROGRAM HINT: stops with the hint when the program is not on the PATH.
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is not installed ($2)"; }

# apt_install PACKAGE..: Debian packages, as root or through sudo.
apt_install() {
    need apt-get "this step needs a Debian or Ubuntu system"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        need sudo "run as root, or install $* by hand"
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q || die "apt-get update failed"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" \
        || die "apt-get could not install $*"
}

# go_install BINARY ARGS..: `go install ARGS` into the cache's bin folder, unless BINARY of that
# very version (the text behind the last @) is there. A stamp file keeps the version.
go_install() {
    local binary=$1 version stamp
    shift
    need go "https://go.dev/doc/install"
    version=${!#}
    version=${version##*@}
    stamp=$TIDEMILL_CACHE/bin/.$binary.version
    if [ -x "$TIDEMILL_CACHE/bin/$binary" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
        say "$binary $version is there"
        return
    fi
    mkdir -p "$TIDEMILL_CACHE/bin"
    say "building $binary $version"
    GOBIN=$TIDEMILL_CACHE/bin GOFLAGS=-mod=mod nice -n 5 go install -p 2 "$@" || die "go install $* failed"
    [ -x "$TIDEMILL_CACHE/bin/$binary" ] || die "go install left no $TIDEMILL_CACHE/bin/$binary"
    printf '%s\n' "$version" >"$stamp"
    say "installed $TIDEMILL_CACHE/bin/$binary"
}

# java_and_maven: a Java compiler and runtime and Maven, Debian's where they are missing.
java_and_maven() {
    local wanted=()
    command -v javac >/dev/null 2>&1 || wanted+=(default-jdk-headless)
    command -v mvn >/dev/null 2>&1 || wanted+=(maven)
    [ ${#wanted[@]} -eq 0 ] || apt_install "${wanted[@]}"
    need java "a Java runtime of version 17 or newer"
    need mvn "on Debian: apt-get install maven"
}

# maven_jars FOLDER GROUP:ARTIFACT:VERSION..: those artifacts and all they need at run time as jars in FOLDER,
# unless the very same list is there. A stamp file keeps the list, and is written last.
maven_jars() {
    local folder=$1 stamp=$1/.artifacts group artifact version work
    shift
    if [ "$(cat "$stamp" 2>/dev/null)" = "$*" ]; then
        say "$folder is up to date"
        return
    fi
    java_and_maven
    work=$(mktemp -d)
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>jars</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
        for coordinates in "$@"; do
            IFS=: read -r group artifact version <<<"$coordinates"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$work/pom.xml"
    rm -rf "$folder"
    mkdir -p "$folder"
    say "downloading $*"
    mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$folder" \
        || die "mvn could not fetch $*"
    rm -rf "$work"
    printf '%s' "$*" >"$stamp"
    say "$(find "$folder" -name '*.jar' | wc -l) jars in $folder"
}

# debian PROGRAM PACKAGE: the package when the program is on no path, sbin included.
debian() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null 2>&1 || apt_install "$2"
    PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" || die "$2 brought no $1"
}
