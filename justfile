# Short names; each recipe is a command that also works by hand. `just` alone lists them.

# An argument with blanks stays one.
set positional-arguments

[private]
default:
    @just --list --unsorted

# Postgres, API and worker with sample emails
up *args:
    cargo dev up "$@"

# All tests, or those whose name contains a word
test *args:
    cargo dev test "$@"

# Format every file
fmt:
    cargo fmt --all

# Clippy over everything, warnings are errors
clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Spelling, licences, unused dependencies
lint:
    cargo dev lint

# Print the pages of docs/ that come from the code
docs:
    cargo dev docs

# Measure the queue
bench *args:
    cargo dev bench "$@"

# Kill and freeze real processes, then judge the database
chaos *args:
    cargo dev chaos "$@"

# psql on the running system's database
psql *args:
    cargo dev psql "$@"

# A token for the running API
session:
    cargo dev session

# Everything that must be green before a change lands
ci:
    .ci/run
