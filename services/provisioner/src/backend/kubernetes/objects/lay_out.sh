# Lays out what one instance reads, before it starts and as the same account.
# GENERATION is its Secret as a folder; CONFIGS outlives it; TOKEN_DIR is its Pod's own.
set -eu

# Puts a folder over another one; whatever stands in the way goes.
lay() {
  if [ -L "$2" ] || [ ! -d "$2" ]; then
    rm -rf "$2"
    mkdir "$2"
  fi
  for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    [ -e "$entry" ] || continue
    if [ -d "$entry" ]; then
      (lay "$entry" "$2/${entry##*/}")
    else
      rm -rf "$2/${entry##*/}"
      cat "$entry" >"$2/${entry##*/}"
    fi
  done
}

if [ "$RESET_SESSION" = true ]; then
  rm -rf "$CONFIGS/.candor/claude-session" "$CONFIGS/.candor/claude"
fi
umask 022
if [ -d "$GENERATION/files" ]; then
  lay "$GENERATION/files" "$CONFIGS"
fi

# The volume may be shared with an older instance that survived: each Pod sees its own
# token behind the same link.
umask 077
cat "$GENERATION/token" >"$TOKEN_DIR/auth_token"
rm -rf "$CONFIGS/.auth_token"
ln -s "$TOKEN_DIR/auth_token" "$CONFIGS/.auth_token"
