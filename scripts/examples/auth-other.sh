#!/bin/sh
# A program for auth-other in plain sh: users, crypt(3) hashes and owners from a text file.
#
#   auth-other-program: /usr/local/lib/auth-other.sh
#   auth-other-user: tpop3d-auth        # may read the file and nothing else
#   auth-other-timeout: 2               # it starts a few processes for each login
#
# Each line of the file is NAME:HASH:UNIX-USER:UNIX-GROUP[:MAILBOX]; HASH is what
# "openssl passwd -6" makes.  The only thing in the environment is PATH=/bin.
users=/etc/tpop3d-users

# A variable of sh cannot hold NUL, and a password may hold a line feed.  They change places: NUL
# becomes a line feed, a line feed the octet 1.  Without that a password could bring its own "user".
read_packet() { dd bs=4096 count=1 2>/dev/null | tr '\000\012' '\012\001'; }

# The value that follows a key; keys stand in the odd lines.
value() { printf '%s\n' "$packet" | awk -v key="$1" 'NR % 2 && $0 == key { getline; print; exit }'; }

answer() { printf "$@"; }

check() {
    user=$(value user)
    # By the environment, which awk takes as it is, and as text: else "1e2" would be "100".
    line=$(user=$user awk -F: '$1 "" == ENVIRON["user"] "" { print; exit }' "$users")
    if [ -z "$line" ]; then
        answer 'result\000NO\000logmsg\000nobody is called %s\000\000' "$user"
        return
    fi
    IFS=: read -r name hash uid gid mailbox <<END
$line
END
    salt=${hash#\$6\$}
    if [ "$(value pass | openssl passwd -6 -salt "${salt%%\$*}" -stdin)" != "$hash" ]; then
        answer 'result\000NO\000\000'
    elif [ -n "$mailbox" ]; then
        answer 'result\000YES\000uid\000%s\000gid\000%s\000mailbox\000%s\000\000' "$uid" "$gid" "$mailbox"
    else
        answer 'result\000YES\000uid\000%s\000gid\000%s\000\000' "$uid" "$gid"
    fi
}

while packet=$(read_packet) && [ -n "$packet" ]; do
    case $(value method) in
        PASS) check ;;
        ONLOGIN) answer '\000\000' ;;
        *) answer 'result\000NO\000\000' ;;
    esac
done
