#!/bin/sh
# Debian's own programs: compression there and back, checksums, a Perl program. Run in a folder of its own by tests/programs.rs, on the
# host and in the guest; what is printed must be the same bytes.
set -e
perl -e '
    my ($state, $text) = (42, "");
    for my $n (1 .. 6000) {
        $state = ($state * 1103515245 + 12345) & 0x7fffffff;
        $text .= sprintf "%d %s %.6f\n", $n, ("glass", "box", "wire", "frame")[$state >> 16 & 3], sqrt($state);
    }
    print $text' >data
for program in "zstd -q -19" "zstd -q -1" "gzip -n -9" "gzip -n -1"; do
    $program -c data >packed
    case $program in
    zstd*) zstd -q -d -c packed >again ;;
    gzip*) gzip -d -c <packed >again ;;
    esac
    cmp data again
    echo "$program: $(sha256sum <packed | cut -c1-64) $(wc -c <packed)"
done
cksum <data
sha1sum <data
sha512sum <data
md5sum <data
perl -e '
    my %seen;
    open my $in, "<", "data" or die;
    while (<$in>) { my ($n, $word, $root) = split; push @{$seen{$word}}, $root if $n % 7 == 3; }
    for my $word (sort keys %seen) {
        my @roots = sort { $a <=> $b } @{$seen{$word}};
        my $sum = 0; $sum += log(1 + $_) * sin($_) ** 2 for @roots;
        printf "%s %d %.15g %a %s\n", $word, scalar @roots, $sum, $sum, join ",", @roots[0 .. 3];
    }
    my $fraction = 1; $fraction = $fraction / 3 + atan2($_, 7) for 1 .. 1000;
    printf "%.17g %s\n", $fraction, join " ", map { unpack "H*", pack "d>", $_ ** 0.3 } 1 .. 5;
    my $text = join "", map { chr(97 + $_ * 7 % 26) } 1 .. 2000;
    my $count = () = $text =~ /([aeiou])(?=[^aeiou]{2})/g;
    print "$count ", lc(reverse substr $text, 0, 40), "\n";
'
