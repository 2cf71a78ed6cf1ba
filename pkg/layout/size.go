// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Size is a number of bytes. In a file it is a whole number, or a text with a unit: 50GiB, 1.5TB.
type Size uint64

// units are those of a size in a file, by the names that leave no doubt.
func units() map[string]uint64 {
	return map[string]uint64{
		"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50,
		"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50,
	}
}

// ParseSize reads a size. A unit of one letter is an error: G is 10^9 to Kubernetes and 2^30 to much else, and a disk of 480 GB is below
// one of the two and above the other.
func ParseSize(s string) (Size, error) {
	const most = 32
	number := strings.TrimRight(s, "BKMGTPEkibmgtpe")
	unit := s[len(number):]
	number = strings.TrimRight(number, " ")
	factor, known := units()[unit]
	switch {
	case unit == "":
		factor = 1
	case !known && len(unit) == 1 && strings.ContainsAny(unit, "KMGTPkmgtp"):
		letter := strings.ToUpper(unit)
		return 0, fmt.Errorf("size %q can mean two things: write %s%sB (powers of 1000) or %s%siB (powers of 1024)", s, number, letter, number,
			letter)
	}
	if !known && unit != "" || len(s) > most || number == "" || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("size %.40q is not a number with a unit, as 50GiB or 480GB", s)
	}
	value, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("size %q is not a number with a unit, as 50GiB or 480GB", s)
	}
	value.Mul(value, new(big.Rat).SetUint64(factor))
	whole := new(big.Int).Quo(value.Num(), value.Denom())
	if !whole.IsUint64() || whole.Uint64() > math.MaxInt64 {
		return 0, fmt.Errorf("size %q is too large", s)
	}
	return Size(whole.Uint64()), nil
}

// String is the size with the largest unit that leaves a whole number of up to four digits, else in bytes.
func (s Size) String() string {
	for _, u := range []struct {
		name  string
		bytes uint64
	}{{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}} {
		if n := uint64(s); n >= u.bytes && n%u.bytes == 0 && n/u.bytes < 10000 {
			return strconv.FormatUint(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}
