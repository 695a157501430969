CORE := -mcpu=cortex-m55 -mthumb -mfloat-abi=hard
UART0 := 0x59303000u
MACHINE := mps3-an547
