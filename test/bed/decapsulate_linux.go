package bed

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Decapsulate has a namespace take packets that come to its eth0 out of a tunnel, as the kernel's
// ipip, ip6tnl and fou devices do where they are built in, until the test ends: a program at
// the ingress takes n octets of outer headers off what has these octets of the frame.
func Decapsulate(t testing.TB, ns string, n int32, outer map[int16]byte) {
	t.Helper()
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), asm.LoadMem(asm.R2, asm.R1, 76, asm.Word), asm.LoadMem(asm.R3, asm.R1, 80, asm.Word), // data, data_end
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, 62), asm.JGT.Reg(asm.R4, asm.R3, "next"),
	}
	for at, v := range outer {
		code = append(code, asm.LoadMem(asm.R4, asm.R2, at, asm.Byte), asm.JNE.Imm(asm.R4, int32(v), "next"))
	}
	code = append(code,
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, -n), asm.Mov.Imm(asm.R3, 1), asm.Mov.Imm(asm.R4, 0), // BPF_ADJ_ROOM_MAC
		asm.FnSkbAdjustRoom.Call(), asm.Mov.Imm(asm.R0, -1).WithSymbol("next"), asm.Return())
	Inside(t, ns, func() {
		eth, err := netlink.LinkByName("eth0")
		if err != nil {
			t.Error(err)
			return
		}
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, License: "Apache-2.0", Instructions: code})
		if err != nil {
			t.Error(err)
			return
		}
		defer prog.Close()
		at, err := link.AttachTCX(link.TCXOptions{Interface: eth.Attrs().Index, Program: prog, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { at.Close() })
	})
}
