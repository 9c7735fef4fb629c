#!/usr/bin/perl
# A program for auth-other: users, crypt(3) hashes and owners from a text file.
#
#   auth-other-program: /usr/local/lib/auth-other.pl
#   auth-other-user: tpop3d-auth        # may read the file and nothing else
#
# Each line of the file is NAME:HASH:UNIX-USER:UNIX-GROUP[:MAILBOX].  NAME is what
# people log in as; HASH is what mkpasswd or "openssl passwd -6" makes.
use strict;
use warnings;

my $users = '/etc/tpop3d-users';

# One packet is one write, of at most 4,096 octets, so one read brings it whole.
while (sysread(STDIN, my $packet, 4096)) {
    my %request = split(/\0/, $packet, -1);
    my %answer = $request{method} eq 'PASS' ? check(\%request) : ();
    %answer = (result => 'NO') if !%answer && $request{method} ne 'ONLOGIN';
    my $pairs = join('', map { "$_\0$answer{$_}\0" } sort keys %answer);
    syswrite(STDOUT, $pairs eq '' ? "\0\0" : "$pairs\0");
}

sub check {
    my ($request) = @_;
    open(my $file, '<', $users) or die "$users: $!\n";    # to standard error: pypop3d logs it
    while (my $line = <$file>) {
        chomp $line;
        my ($name, $hash, $uid, $gid, $mailbox) = split(/:/, $line);
        next if !defined $gid || $name ne $request->{user};
        return if crypt($request->{pass}, $hash) ne $hash;
        my %yes = (result => 'YES', uid => $uid, gid => $gid);
        $yes{mailbox} = $mailbox if defined $mailbox;
        return %yes;
    }
    return (result => 'NO', logmsg => "nobody is called $request->{user}");
}
